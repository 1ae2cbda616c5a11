"""SQL of comparisons: connection first, then the tenant; never commits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_metrics.reconciliation.reconciliation_domain import GAUGES, MARGIN, WINDOW, Compared, Gauge, Tenant
from quartet_metrics.series.series_domain import series_id

MOST = 20_000
"""Applied events of which users, groups and audit are told; those beyond are looked up in the answer."""
COUNTED = "SELECT series, total FROM series WHERE tenant_id = $1 AND series = ANY($2::bigint[])"
APPLIED = """
SELECT event_id FROM inbox WHERE tenant_id = $1 AND received_at >= now() - $2::interval
ORDER BY received_at DESC LIMIT $3"""
KNOWN = "SELECT event_id FROM inbox WHERE tenant_id = $1 AND event_id = ANY($2::uuid[])"
ADVANCE = """
INSERT INTO reconciliations AS known (tenant_id, revision, compared_at) VALUES ($1, $2 + 1, $3)
ON CONFLICT (tenant_id) DO UPDATE SET revision = known.revision + 1,
    compared_at = coalesce(excluded.compared_at, known.compared_at)
WHERE known.revision = $2 RETURNING revision"""
INTERRUPT = "UPDATE reconciliations SET revision = revision + 1 WHERE tenant_id = $1"
STORE = """
INSERT INTO drifts (tenant_id, series, metric, labels, drift, detected_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, series) DO UPDATE SET drift = excluded.drift, detected_at = excluded.detected_at"""
TENANTS = """
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM series WHERE tenant_id > $1 ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM series WHERE series.tenant_id > tenants.tenant_id ORDER BY tenant_id LIMIT 1)
    FROM tenants WHERE tenants.tenant_id IS NOT NULL
)
SELECT tenants.tenant_id, compared_at,
    (SELECT count(*) FROM drifts WHERE drifts.tenant_id = tenants.tenant_id) AS drifts
FROM tenants LEFT JOIN reconciliations USING (tenant_id)
WHERE tenants.tenant_id IS NOT NULL AND (compared_at IS NULL OR $2::timestamptz IS NULL OR compared_at < $2)
AND NOT EXISTS (SELECT FROM deleted_tenants WHERE deleted_tenants.tenant_id = tenants.tenant_id) LIMIT $3"""


class Moment(NamedTuple):
    """What metrics has counted, as of the snapshot of its connection; `applied` are the ids of recent events."""

    counted: Mapping[Gauge, int]
    applied: Sequence[UUID]
    since: datetime
    revision: int


async def read_moment(connection: Connection, tenant: str) -> Moment:
    """The compared gauges of `tenant`, and the events that it has applied a short time ago."""
    ids = {series_id(*gauge): gauge for gauge in GAUGES}
    totals = {row["series"]: row["total"] for row in await connection.fetch(COUNTED, tenant, list(ids))}
    applied = await connection.fetch(APPLIED, tenant, WINDOW + MARGIN, MOST)
    revision = await connection.fetchval("SELECT revision FROM reconciliations WHERE tenant_id = $1", tenant)
    now = await connection.fetchval("SELECT now()")
    counted = {gauge: totals.get(series, 0) for series, gauge in ids.items()}
    return Moment(counted, [row["event_id"] for row in applied], now - WINDOW, revision or 0)


async def find_applied(connection: Connection, tenant: str, ids: Collection[UUID]) -> frozenset[UUID]:
    """Those of `ids` that are applied."""
    return frozenset(row["event_id"] for row in await connection.fetch(KNOWN, tenant, list(ids)))


async def advance(connection: Connection, tenant: str, revision: int, compared_at: datetime | None) -> int | None:
    """Note a comparison, at `compared_at` if it was one of all gauges, and return the next revision; None if the tenant
    is not at `revision` any more, since another comparison or an import came between.
    """
    found: int | None = await connection.fetchval(ADVANCE, tenant, revision, compared_at)
    return found


async def interrupt(connection: Connection, tenant: str) -> None:
    """Have running comparisons of `tenant` begin again: its counts are replaced."""
    await connection.execute(INTERRUPT, tenant)
    await connection.execute("DELETE FROM drifts WHERE tenant_id = $1", tenant)


async def read_drifts(connection: Connection, tenant: str) -> dict[Gauge, int]:
    """The drifts of the last comparisons."""
    rows = await connection.fetch("SELECT metric, labels, drift FROM drifts WHERE tenant_id = $1", tenant)
    return {Gauge(row["metric"], tuple(row["labels"])): row["drift"] for row in rows}


async def store_drift(connection: Connection, tenant: str, gauge: Gauge, compared: Compared, now: datetime) -> None:
    """Note that a gauge differs."""
    await connection.execute(STORE, tenant, series_id(*gauge), gauge.metric, list(gauge.labels), compared.drift, now)


async def delete_drift(connection: Connection, tenant: str, gauge: Gauge) -> None:
    """Note that a gauge does not differ."""
    await connection.execute("DELETE FROM drifts WHERE tenant_id = $1 AND series = $2", tenant, series_id(*gauge))


async def read_tenants(
    connection: Connection, after: str, limit: int, compared_before: datetime | None = None
) -> list[Tenant]:
    """Up to `limit` tenants that follow `after`; with `compared_before` only those that were not compared since."""
    rows = await connection.fetch(TENANTS, after, compared_before, limit)
    return [Tenant(row["tenant_id"], row["compared_at"], row["drifts"]) for row in rows]
