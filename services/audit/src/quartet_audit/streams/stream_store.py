"""SQL of streams: connection first, then the tenant; streams, where they are, and who delivers them. Never commits."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from quartet_audit.entries.entry_range_store import read_size
from quartet_audit.entries.filter_domain import Filters
from quartet_audit.streams.stream_domain import Destination, Failure, Stream
from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows

COLUMNS = """
s.tenant_id, s.id, s.version, s.name, s.destination, s.filters, s.format, s.created_at, s.position, s.batch_end,
s.replays, s.delivered_at, s.failures, s.failing_since, s.problem, s.due_at, s.paused_at, s.pause_reason,
s.former_secret_until, coalesce(l.size, 0) AS size"""
READ = f"SELECT {COLUMNS} FROM streams s LEFT JOIN logs l USING (tenant_id) WHERE tenant_id = $1"
EXPORT = """
SELECT id, name, destination::text AS destination, filters::text AS filters, format, created_at, position, paused_at
FROM streams WHERE tenant_id = $1 ORDER BY id"""

INSERT = """
INSERT INTO streams
    (tenant_id, id, name, destination, secret, filters, format, created_at, position, due_at, leased_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8, $8)"""

# Each change ends the lease, so that a worker that is delivering stores nothing afterwards, and the batch that failed.
CHANGE = """
UPDATE streams SET version = version + 1, lease = NULL, leased_until = $3, batch_end = NULL, due_at = $3, name = $4,
    destination = $5, secret = coalesce($6, secret), filters = $7, format = $8,
    former_secret = CASE WHEN $9::timestamptz IS NOT NULL THEN secret WHEN $6 IS NULL THEN former_secret END,
    former_secret_until = CASE WHEN $9 IS NOT NULL THEN $9 WHEN $6 IS NULL THEN former_secret_until END
WHERE tenant_id = $1 AND id = $2"""
PAUSE = """
UPDATE streams SET version = version + 1, lease = NULL, leased_until = $3, paused_at = $3, pause_reason = $4
WHERE tenant_id = $1 AND id = $2"""
RESUME = """
UPDATE streams SET version = version + 1, lease = NULL, leased_until = $3, paused_at = NULL, pause_reason = NULL,
    failures = 0, failing_since = NULL, problem = NULL, due_at = $3
WHERE tenant_id = $1 AND id = $2"""
REPLAY = """
UPDATE streams SET version = version + 1, lease = NULL, leased_until = $3, position = $4, batch_end = NULL,
    replays = replays + 1, due_at = $3
WHERE tenant_id = $1 AND id = $2"""

# The streams of a tenant take turns, those that have waited the longest first, and each tenant has its first turn
# before another has its second. A stream that another worker claims at this moment is locked, and skipped.
CLAIM = f"""
WITH waiting AS (
    SELECT s.tenant_id, s.id, s.leased_until,
           row_number() OVER (PARTITION BY s.tenant_id ORDER BY s.leased_until, s.id) AS turn
    FROM streams s JOIN logs l USING (tenant_id)
    WHERE s.paused_at IS NULL AND s.due_at <= $1 AND s.leased_until <= $1 AND s.position < l.size
), chosen AS (
    SELECT s.tenant_id, s.id FROM streams s JOIN waiting w USING (tenant_id, id)
    WHERE s.paused_at IS NULL AND s.due_at <= $1 AND s.leased_until <= $1
    ORDER BY w.turn, w.leased_until LIMIT $4 FOR UPDATE OF s SKIP LOCKED
)
UPDATE streams s SET lease = $2, leased_until = $3
FROM chosen c LEFT JOIN logs l USING (tenant_id) WHERE s.tenant_id = c.tenant_id AND s.id = c.id
RETURNING s.secret, CASE WHEN s.former_secret_until > $1 THEN s.former_secret END AS former_secret, {COLUMNS}"""

ADVANCE = """
UPDATE streams SET position = $4, leased_until = $5, delivered_at = coalesce($6, delivered_at), batch_end = NULL,
    failures = 0, failing_since = NULL, problem = NULL
WHERE tenant_id = $1 AND id = $2 AND lease = $3"""
FAIL = """
UPDATE streams SET leased_until = $4, batch_end = $5, failures = $6, failing_since = $7, due_at = $8, problem = $9
WHERE tenant_id = $1 AND id = $2 AND lease = $3"""
RELEASE = "UPDATE streams SET lease = NULL, leased_until = $4 WHERE tenant_id = $1 AND id = $2 AND lease = $3"

FIRST_RECORDED = """
SELECT sequence, recorded_at FROM entries WHERE tenant_id = $1 AND sequence >= $2 ORDER BY sequence LIMIT 1"""

export_streams = json_rows(EXPORT, jsonb=("destination", "filters"))
"""Exports the streams of a tenant, without their secrets."""


async def read_streams(connection: Connection, tenant: str) -> list[Stream]:
    """The streams of a tenant, the oldest first."""
    return [_stream(row) for row in await connection.fetch(f"{READ} ORDER BY s.id", tenant)]


async def get_stream(connection: Connection, tenant: str, identifier: UUID) -> Stream | None:
    """One stream of a tenant, or None."""
    row = await connection.fetchrow(f"{READ} AND s.id = $2", tenant, identifier)
    return None if row is None else _stream(row)


async def lock_stream(connection: Connection, tenant: str, identifier: UUID) -> Stream | None:
    """As `get_stream`; the stream is locked until the transaction ends."""
    row = await connection.fetchrow(f"{READ} AND s.id = $2 FOR UPDATE OF s", tenant, identifier)
    return None if row is None else _stream(row)


async def lock_tenant(connection: Connection, tenant: str) -> None:
    """Have others who create a stream of the tenant wait until this transaction has ended, so that the limit holds."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('quartet.audit.streams/' || $1, 0))", tenant
    )


async def insert_stream(connection: Connection, stream: Stream, secret: str | None) -> None:
    """Store a new stream; `secret` is encrypted."""
    await connection.execute(
        INSERT,
        stream.tenant,
        stream.id,
        stream.name,
        _text(stream.destination),
        secret,
        _text(stream.filters),
        stream.format,
        stream.created_at,
        stream.position,
    )


async def change_stream(
    connection: Connection, stream: Stream, secret: str | None, now: datetime, until: datetime | None = None
) -> None:
    """Store name, destination, filters and format; a `secret` of None stays as it is, another one replaces it, and the
    former one is valid `until` then.
    """
    texts = (stream.name, _text(stream.destination), secret, _text(stream.filters), stream.format)
    await connection.execute(CHANGE, stream.tenant, stream.id, now, *texts, until)


async def pause_stream(connection: Connection, tenant: str, identifier: UUID, now: datetime, reason: str) -> None:
    """Deliver no more."""
    await connection.execute(PAUSE, tenant, identifier, now, reason)


async def resume_stream(connection: Connection, tenant: str, identifier: UUID, now: datetime) -> None:
    """Deliver again, from where it was paused."""
    await connection.execute(RESUME, tenant, identifier, now)


async def replay_stream(connection: Connection, tenant: str, identifier: UUID, now: datetime, position: int) -> None:
    """Deliver again from `position` on."""
    await connection.execute(REPLAY, tenant, identifier, now, position)


async def delete_stream(connection: Connection, tenant: str, identifier: UUID) -> None:
    """Forget a stream."""
    await connection.execute("DELETE FROM streams WHERE tenant_id = $1 AND id = $2", tenant, identifier)


async def claim(
    connection: Connection, lease: UUID, now: datetime, until: datetime, most: int
) -> list[tuple[Stream, list[str]]]:
    """Lease streams that are due and have entries to deliver, at most so many, with their encrypted secrets.

    These are the present one, and the one before if it is still valid.
    """
    rows = await connection.fetch(CLAIM, now, lease, until, most)
    return [(_stream(row), [one for one in (row["secret"], row["former_secret"]) if one is not None]) for row in rows]


async def advance(
    connection: Connection, stream: Stream, lease: UUID, position: int, until: datetime, delivered_at: datetime | None
) -> bool:
    """Store that all before `position` is delivered, and go on until `until`; False if the lease has ended."""
    parameters = (stream.tenant, stream.id, lease, position, until, delivered_at)
    return await connection.execute(ADVANCE, *parameters) == "UPDATE 1"


async def fail(
    connection: Connection, stream: Stream, lease: UUID, now: datetime, batch_end: int, failure: Failure, problem: str
) -> None:
    """Store a failed delivery, and end the lease."""
    await connection.execute(
        FAIL,
        stream.tenant,
        stream.id,
        lease,
        now,
        batch_end,
        failure.failures,
        failure.failing_since,
        failure.due_at,
        problem,
    )


async def holds(connection: Connection, stream: Stream, lease: UUID) -> bool:
    """Whether the lease has not ended; the stream is locked until the transaction ends."""
    sql = "SELECT true FROM streams WHERE tenant_id = $1 AND id = $2 AND lease = $3 FOR UPDATE"
    return bool(await connection.fetchval(sql, stream.tenant, stream.id, lease))


async def release(connection: Connection, stream: Stream, lease: UUID, now: datetime) -> None:
    """End the lease."""
    await connection.execute(RELEASE, stream.tenant, stream.id, lease, now)


async def find_recorded(connection: Connection, tenant: str, time: datetime) -> int:
    """The sequence of the first entry that was recorded at `time` or later; the size of the log if there is none.

    Entries are recorded in the order of their sequence, so that this is a binary search.
    """
    low, high = 0, await read_size(connection, tenant)
    while low < high:
        middle = (low + high) // 2
        row = await connection.fetchrow(FIRST_RECORDED, tenant, middle)
        if row is None or row["recorded_at"] >= time:
            high = middle
        else:
            low = row["sequence"] + 1
    return low


def _stream(row: asyncpg.Record) -> Stream:
    values: dict[str, Any] = {name: row[name] for name in Stream.__dataclass_fields__ if name in row.keys()}  # noqa: SIM118  # a Record iterates over values
    values["tenant"] = row["tenant_id"]
    values["destination"] = msgspec.json.decode(row["destination"], type=Destination)
    values["filters"] = msgspec.json.decode(row["filters"], type=Filters)
    return Stream(**values)


def _text(value: Destination | Filters) -> str:
    return msgspec.json.encode(value).decode()
