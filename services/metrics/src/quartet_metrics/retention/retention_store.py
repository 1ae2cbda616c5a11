"""SQL of retention; never commits."""

from datetime import datetime

from quartet_common.data.connections import Connection

TENANTS = """
WITH RECURSIVE tenants AS (
    (SELECT tenant_id FROM series ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT tenant_id FROM series WHERE series.tenant_id > tenants.tenant_id ORDER BY tenant_id LIMIT 1)
    FROM tenants WHERE tenants.tenant_id IS NOT NULL
)
SELECT tenant_id FROM tenants WHERE tenant_id IS NOT NULL"""
PRUNE = """
DELETE FROM samples WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM series
    CROSS JOIN (VALUES ('minute', $2::timestamptz), ('hour', $3::timestamptz)) AS kept (step, first)
    CROSS JOIN LATERAL (
        SELECT samples.ctid FROM samples WHERE samples.tenant_id = series.tenant_id AND samples.series = series.series
        AND samples.step = kept.step AND samples.start < kept.first LIMIT $4
    ) AS old WHERE series.tenant_id = $1 LIMIT $4))"""
MOVE = "SELECT move_event_counts()"


async def read_tenants(connection: Connection) -> list[str]:
    """All tenants with series, by one descent of the index for each."""
    return [row["tenant_id"] for row in await connection.fetch(TENANTS)]


async def prune_samples(
    connection: Connection, tenant: str, minutes_from: datetime, hours_from: datetime, limit: int
) -> int:
    """Delete at most `limit` samples of minutes and hours that are not kept any more; returns how many."""
    done: str = await connection.execute(PRUNE, tenant, minutes_from, hours_from, limit)
    return int(done.rpartition(" ")[2])


async def move_event_counts(connection: Connection) -> int:
    """Move what processes of the release before have counted into series; returns the number of rows."""
    moved: int = await connection.fetchval(MOVE)
    return moved
