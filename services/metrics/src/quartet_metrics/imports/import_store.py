"""SQL of imports: connection first, then the tenant; never commits."""

from collections.abc import Collection

from quartet_common.data.connections import Connection
from quartet_metrics.imports.import_domain import Import

KNOWN = "SELECT series, metric FROM series WHERE tenant_id = $1 AND series = ANY($2::bigint[])"
# Rows of series are locked first, in the order of the key, as consumers lock them. Arrays of arrays cannot be
# unnested, so the labels of a series are JSON.
LOCK = """
INSERT INTO series AS known (tenant_id, series, metric, labels)
SELECT $1, series, metric, ARRAY(SELECT json_array_elements_text(labels::json))
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS given (series, metric, labels) ORDER BY series
ON CONFLICT (tenant_id, series) DO NOTHING"""
LOCK_KNOWN = "SELECT FROM series WHERE tenant_id = $1 AND series = ANY($2::bigint[]) ORDER BY series FOR UPDATE"
SET = """
WITH changed AS (
    INSERT INTO samples AS known (tenant_id, series, step, start, amount)
    SELECT $1, given.* FROM unnest($2::bigint[], $3::text[], $4::timestamptz[], $5::bigint[])
        AS given (series, step, start, amount)
    ON CONFLICT (tenant_id, series, step, start) DO UPDATE SET amount = excluded.amount
    WHERE known.amount <> excluded.amount
    RETURNING series, start
)
SELECT series, min(start) AS first, count(*) AS number FROM changed GROUP BY series"""
# A statement of its own, which sees the samples that the one before has written.
SUM = """
UPDATE series SET changed_from = least(changed_from, first), revision = revision + 1, total = coalesce((
    SELECT sum(amount) FROM samples WHERE samples.tenant_id = series.tenant_id AND samples.series = series.series
    AND step = 'day'), 0)
FROM unnest($2::bigint[], $3::timestamptz[]) AS given (number, first)
WHERE tenant_id = $1 AND series = number"""
ADD_USERS = """
INSERT INTO active_users (tenant_id, day, user_id) SELECT $1, * FROM unnest($2::date[], $3::uuid[])
ON CONFLICT DO NOTHING"""
IS_DELETED = "SELECT EXISTS (SELECT FROM deleted_tenants WHERE tenant_id = $1)"


async def is_deleted(connection: Connection, tenant: str) -> bool:
    """Whether the tenant was deleted."""
    found: bool = await connection.fetchval(IS_DELETED, tenant)
    return found


async def read_metrics(connection: Connection, tenant: str, series: Collection[int]) -> dict[int, str]:
    """The metrics of those of `series` that the tenant has."""
    return {row["series"]: row["metric"] for row in await connection.fetch(KNOWN, tenant, list(series))}


async def store(connection: Connection, tenant: str, found: Import, labels: Collection[str]) -> int:
    """Set the amounts of samples and add active users; `labels` are those of the series as JSON, in their order.

    Returns how many samples and users were not there, or had another amount.
    """
    ids = sorted({series for series, _, _ in found.samples} | found.series.keys())
    metrics = [one.metric for one in found.series.values()]
    await connection.execute(LOCK, tenant, list(found.series), metrics, list(labels))
    await connection.execute(LOCK_KNOWN, tenant, ids)
    columns = [list(column) for column in zip(*found.samples, strict=True)] or [[], [], []]
    changed = await connection.fetch(SET, tenant, *columns, list(found.samples.values()))
    await connection.execute(SUM, tenant, [row["series"] for row in changed], [row["first"] for row in changed])
    days, users = [day for day, _ in found.users], [user for _, user in found.users]
    added: str = await connection.execute(ADD_USERS, tenant, days, users)
    samples: int = sum(row["number"] for row in changed)
    return int(added.rpartition(" ")[2]) + samples
