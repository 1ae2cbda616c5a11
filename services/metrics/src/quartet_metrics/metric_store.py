"""SQL: adds to the counts and reads them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from quartet_common.data.connections import Connection
from quartet_metrics.metric_domain import ALL, MAX_POINTS, NO_DIMENSION, Cell, CountKey, Query

ADD = """
INSERT INTO event_counts AS known (tenant_id, hour, action, outcome, count)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT (tenant_id, hour, action, outcome) DO UPDATE SET count = known.count + excluded.count"""

SUM = """
SELECT {key} AS key, date_bin($4, hour, timestamptz 'epoch') AS bucket, sum(count)::bigint AS value FROM event_counts
WHERE tenant_id = $1 AND hour >= $2 AND hour < $3 AND ($5::text IS NULL OR outcome = $5)
GROUP BY 1, 2 LIMIT $6"""

SUMS: Mapping[str, str] = MappingProxyType(
    {
        "type": SUM.format(key="action"),
        "outcome": SUM.format(key="outcome"),
        NO_DIMENSION: SUM.format(key=f"'{ALL}'"),
    }
)

EXPORT = "SELECT hour, action, outcome, count FROM event_counts WHERE tenant_id = $1 ORDER BY hour, action, outcome"


async def add_counts(connection: Connection, counts: Sequence[tuple[CountKey, int]]) -> None:
    """Add `counts` to what is there, in one statement. They must be sorted: workers that lock rows in one order cannot
    wait for each other in a circle.
    """
    keys = [key for key, _ in counts]
    await connection.execute(
        ADD,
        [key.tenant for key in keys],
        [key.hour for key in keys],
        [key.action for key in keys],
        [key.outcome for key in keys],
        [count for _, count in counts],
    )


async def sum_counts(connection: Connection, tenant: str, query: Query) -> list[Cell]:
    """The sums per key and bucket that are not 0, at most MAX_POINTS + 1 of them: more than that is refused anyway."""
    rows = await connection.fetch(
        SUMS[query.by], tenant, query.start, query.end, query.step.width, query.metric.outcome, MAX_POINTS + 1
    )
    return [Cell(row["key"], row["bucket"], row["value"]) for row in rows]


async def export_counts(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Every count of `tenant` as a JSON object, read through a server-side cursor; needs a transaction."""
    async for row in connection.cursor(EXPORT, tenant, prefetch=1000):
        yield msgspec.json.encode(dict(row))
