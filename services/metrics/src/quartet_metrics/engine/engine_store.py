"""SQL of what the engine is to learn: connection first; never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from quartet_common.data.connections import Connection
from quartet_metrics.engine.engine_domain import DAILY, DURABLE, SETTLED
from quartet_metrics.series.series_store import FAR_PAST, ChangedSeries


@dataclass(frozen=True)
class Present:
    """A changed series, its value now, and whether it is new to the engine."""

    changed: ChangedSeries
    value: int
    is_new: bool


# Without parameters, so by the simple protocol: the portal of any other statement stays open until the next one, and
# with it a snapshot, which holds vacuum back.
TAKE_TURN = "SELECT WHERE pg_try_advisory_xact_lock(hashtextextended('quartet_metrics.engine', 0))"
# The value of a daily metric is that of its day, of any other the total.
PRESENT = """
SELECT tenant_id, series, metric, labels, changed_from, revision, is_written, CASE WHEN metric = ANY($4::text[])
THEN coalesce((
    SELECT amount FROM samples WHERE samples.tenant_id = series.tenant_id AND samples.series = series.series
    AND step = 'day' AND start = date_trunc('day', $5::timestamptz, 'UTC')), 0) ELSE total END::bigint AS value
FROM series WHERE (tenant_id, series) > ($1, $2)
AND NOT EXISTS (SELECT FROM deleted_tenants WHERE deleted_tenants.tenant_id = series.tenant_id)"""
CHANGED = f"{PRESENT} AND changed_from IS NOT NULL ORDER BY tenant_id, series LIMIT $3"
ALL = f"{PRESENT} AND is_written ORDER BY tenant_id, series LIMIT $3"
# Rows that a consumer has locked are skipped: they have changed again. Without waiting there is no deadlock.
WRITTEN = """
WITH locked AS (
    SELECT known.tenant_id, known.series FROM series AS known
    JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS written (tenant_id, series, revision)
    ON known.tenant_id = written.tenant_id AND known.series = written.series AND known.revision = written.revision
    FOR UPDATE OF known SKIP LOCKED
)
UPDATE series SET changed_from = NULL, is_written = true FROM locked
WHERE series.tenant_id = locked.tenant_id AND series.series = locked.series"""
SCHEDULE = """
INSERT INTO engine_rewrites AS known (tenant_id, series, due_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[])
ON CONFLICT (tenant_id, series) DO UPDATE SET due_at = least(known.due_at, excluded.due_at), passes = 2"""
SCHEDULE_ALL = """
INSERT INTO engine_rewrites AS known (tenant_id, series, due_at, passes) SELECT tenant_id, series, $1, 1 FROM series
ON CONFLICT (tenant_id, series) DO UPDATE SET due_at = least(known.due_at, excluded.due_at)"""
DUE = """
SELECT tenant_id, series, metric, labels, revision FROM engine_rewrites JOIN series USING (tenant_id, series)
WHERE due_at <= $1 AND NOT EXISTS (SELECT FROM deleted_tenants WHERE deleted_tenants.tenant_id = series.tenant_id)
ORDER BY tenant_id, series LIMIT $2"""
REWRITTEN = """
WITH noted AS (
    INSERT INTO engine_rewritten (tenant_id, rewritten_at) SELECT DISTINCT unnest($1::text[]), $4::timestamptz
    ON CONFLICT (tenant_id) DO UPDATE SET rewritten_at = excluded.rewritten_at
), done AS (
    UPDATE engine_rewrites AS known SET passes = passes - 1, due_at = $3
    FROM unnest($1::text[], $2::bigint[]) AS written (tenant_id, series)
    WHERE known.tenant_id = written.tenant_id AND known.series = written.series AND passes > 1
    RETURNING known.tenant_id, known.series
)
DELETE FROM engine_rewrites AS known USING unnest($1::text[], $2::bigint[]) AS written (tenant_id, series)
WHERE known.tenant_id = written.tenant_id AND known.series = written.series AND passes <= 1"""
TO_ERASE = """
SELECT tenant_id FROM deleted_tenants WHERE deleted_at <= $2 AND NOT EXISTS (
    SELECT FROM engine_erased WHERE engine_erased.tenant_id = deleted_tenants.tenant_id
    AND (passes > 1 OR erased_at > $3))
ORDER BY tenant_id LIMIT $1"""
ERASED = """
INSERT INTO engine_erased AS known (tenant_id, erased_at) SELECT unnest($1::text[]), $2
ON CONFLICT (tenant_id) DO UPDATE SET passes = known.passes + 1, erased_at = excluded.erased_at"""
WAITING = """
SELECT (SELECT count(*) FROM series) AS series, (SELECT count(*) FROM engine_rewrites WHERE due_at <= $1) AS waiting"""


async def take_turn(connection: Connection) -> bool:
    """Whether this worker may write until its transaction ends: two writers would put values into a wrong order."""
    return await connection.execute(TAKE_TURN) == "SELECT 1"


async def read_changed(connection: Connection, now: datetime, limit: int) -> list[Present]:
    """Up to `limit` changed series with their values."""
    return [_present(row) for row in await connection.fetch(CHANGED, "", -(2**63), limit, list(DAILY), now)]


async def read_all(connection: Connection, now: datetime, limit: int, after: tuple[str, int]) -> list[Present]:
    """Up to `limit` series that the engine has, which follow `after`, with their values."""
    return [_present(row) for row in await connection.fetch(ALL, *after, limit, list(DAILY), now)]


async def mark_written(connection: Connection, written: Sequence[ChangedSeries]) -> None:
    """Note that the engine has the values of `written`, except of those that have changed since."""
    await connection.execute(
        WRITTEN, [one.tenant for one in written], [one.series for one in written], [one.revision for one in written]
    )


async def schedule_rewrites(connection: Connection, due: Sequence[tuple[ChangedSeries, datetime]]) -> None:
    """Have series written again from their beginning, at a time or later."""
    await connection.execute(
        SCHEDULE, [one.tenant for one, _ in due], [one.series for one, _ in due], [at for _, at in due]
    )


async def schedule_all(connection: Connection, now: datetime) -> None:
    """Have all series written again, as soon as what was just written can be deleted."""
    await connection.execute(SCHEDULE_ALL, now + SETTLED)


async def read_due(connection: Connection, now: datetime, limit: int) -> list[ChangedSeries]:
    """Up to `limit` series that are to be written again."""
    rows = await connection.fetch(DUE, now, limit)
    return [
        ChangedSeries(row["tenant_id"], row["series"], row["metric"], tuple(row["labels"]), FAR_PAST, row["revision"])
        for row in rows
    ]


async def mark_rewritten(connection: Connection, written: Sequence[ChangedSeries], now: datetime) -> None:
    """Note that series were written again until `now`; after the first pass a second one is due."""
    tenants, series = [one.tenant for one in written], [one.series for one in written]
    await connection.execute(REWRITTEN, tenants, series, now + DURABLE, now)


async def read_waiting(connection: Connection, now: datetime) -> tuple[int, int]:
    """The number of all series, and of those that are to be written again now."""
    row = await connection.fetchrow(WAITING, now + SETTLED)
    return (0, 0) if row is None else (row["series"], row["waiting"])


async def read_deleted_tenants(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Up to `limit` deleted tenants that the engine may have series of, all of which it can delete by now."""
    return [row["tenant_id"] for row in await connection.fetch(TO_ERASE, limit, now - SETTLED, now - DURABLE)]


async def mark_erased(connection: Connection, tenants: Sequence[str], now: datetime) -> None:
    """Note that the engine has deleted the series of deleted tenants; after the first pass a second one is due."""
    await connection.execute(ERASED, list(tenants), now)


def _present(row: asyncpg.Record) -> Present:
    changed = ChangedSeries(
        row["tenant_id"], row["series"], row["metric"], tuple(row["labels"]), row["changed_from"], row["revision"]
    )
    return Present(changed, row["value"], not row["is_written"])
