"""SQL of the metadata of metrics of applications: connection first, then tenant; never commits."""

from collections.abc import Mapping
from datetime import datetime

from quartet_common.data.connections import Connection
from quartet_metrics.metadata.metadata_domain import MAX_METRICS, Metadata

# In the order of the key, so that two processes cannot block each other.
WRITE = """
INSERT INTO metric_metadata (tenant_id, metric, type, unit, help, sent_at)
SELECT $1, metric, type, unit, help, $6
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS given (metric, type, unit, help, number)
WHERE metric IN (SELECT metric FROM metric_metadata WHERE tenant_id = $1)
OR number + (SELECT count(*) FROM metric_metadata WHERE tenant_id = $1) <= $7
ORDER BY metric
ON CONFLICT (tenant_id, metric) DO UPDATE
SET type = excluded.type, unit = excluded.unit, help = excluded.help, sent_at = excluded.sent_at"""
READ = """
SELECT metric, type, unit, help FROM metric_metadata WHERE tenant_id = $1 AND ($2::text IS NULL OR metric = $2)
ORDER BY metric LIMIT $3"""
PRUNE = """
DELETE FROM metric_metadata WHERE (tenant_id, metric) IN (
    SELECT tenant_id, metric FROM metric_metadata WHERE sent_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"""


async def write_metadata(connection: Connection, tenant: str, sent: Mapping[str, Metadata], now: datetime) -> None:
    """Store what applications have sent, up to MAX_METRICS metrics; what is sent later replaces it."""
    columns = (
        [one.type for one in sent.values()],
        [one.unit for one in sent.values()],
        [one.help for one in sent.values()],
    )
    await connection.execute(WRITE, tenant, list(sent), *columns, now, MAX_METRICS)


async def read_metadata(connection: Connection, tenant: str, metric: str | None, limit: int) -> dict[str, Metadata]:
    """The metadata of at most `limit` metrics by name, or of one `metric`."""
    rows = await connection.fetch(READ, tenant, metric, limit)
    return {row["metric"]: Metadata(row["type"], row["unit"], row["help"]) for row in rows}


async def prune_metadata(connection: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` entries that were not sent since `before`; returns how many."""
    done: str = await connection.execute(PRUNE, before, limit)
    return int(done.rpartition(" ")[2])
