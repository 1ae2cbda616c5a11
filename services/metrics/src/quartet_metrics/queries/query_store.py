"""SQL of queries and exports: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from datetime import datetime

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_metrics.queries.query_domain import ALL, MAX_POINTS, NO_LABEL, Cell, Query

# The subquery with OFFSET 0 is a range scan of the key of samples for each series and segment, whatever the plan.
ADDED = """
    SELECT CASE $3::int WHEN 0 THEN $4 ELSE series.labels[$3] END AS key,
        width_bucket(found.start, $5::timestamptz[]) AS bucket, sum(found.amount)::bigint AS value
    FROM series
    CROSS JOIN unnest($6::text[], $7::timestamptz[], $8::timestamptz[]) AS segment (step, low, high)
    CROSS JOIN LATERAL (
        SELECT start, amount FROM samples WHERE samples.tenant_id = series.tenant_id AND samples.series = series.series
        AND samples.step = segment.step AND samples.start >= segment.low AND samples.start < segment.high OFFSET 0
    ) AS found
    WHERE series.tenant_id = $1 AND series.metric = $2 AND ($9::int = 0 OR series.labels[$9] = $10)
    GROUP BY 1, 2"""
SUMS = f"{ADDED} LIMIT $11"
# One statement, so that totals and what was added are of one moment; totals have no bucket.
LEVELS = f"""
WITH added AS ({ADDED})
SELECT CASE $3::int WHEN 0 THEN $4 ELSE series.labels[$3] END AS key, 0 AS bucket, sum(series.total)::bigint AS value
FROM series WHERE series.tenant_id = $1 AND series.metric = $2 GROUP BY 1
UNION ALL (SELECT key, bucket, value FROM added LIMIT $11)"""
DAYS = """
SELECT samples.start, samples.amount FROM series JOIN samples
ON samples.tenant_id = series.tenant_id AND samples.series = series.series AND samples.step = 'day'
AND samples.start >= $3 AND samples.start < least($4::timestamptz, $5::timestamptz)
WHERE series.tenant_id = $1 AND series.metric = $2"""

export_series = json_rows(
    "SELECT series::text AS series, metric, labels, total FROM series WHERE tenant_id = $1 ORDER BY metric, labels"
)
export_samples = json_rows(
    "SELECT series::text AS series, step, start, amount FROM samples WHERE tenant_id = $1 ORDER BY series, step, start"
)


async def read_sums(connection: Connection, tenant: str, query: Query) -> list[Cell]:
    """What each series of a counter adds to each bucket; of more than MAX_POINTS only so many that it is refused."""
    rows = await connection.fetch(SUMS, *arguments(tenant, query, query.starts))
    return [Cell(row["key"], row["bucket"], row["value"]) for row in rows]


async def read_levels(connection: Connection, tenant: str, query: Query) -> tuple[dict[str, int], list[Cell]]:
    """The present values of the series of a gauge, and what was added in each bucket and after the last."""
    rows = await connection.fetch(LEVELS, *arguments(tenant, query, (*query.starts, query.end)))
    cells = [Cell(row["key"], row["bucket"], row["value"]) for row in rows]
    return {cell.key: cell.value for cell in cells if cell.bucket == 0}, [cell for cell in cells if cell.bucket > 0]


async def read_days(connection: Connection, tenant: str, query: Query, now: datetime) -> dict[datetime, int]:
    """The numbers of a daily metric by day, none of days that have not begun."""
    rows = await connection.fetch(DAYS, tenant, query.metric.name, query.start, query.end, now)
    return {row["start"]: row["amount"] for row in rows}


def arguments(tenant: str, query: Query, edges: Sequence[datetime]) -> tuple[object, ...]:
    """The parameters of SUMS and LEVELS, whose buckets are between `edges`; labels by their number, 0 for none."""
    labels, segments = query.metric.labels, query.segments()
    name, value = query.alias.filter or ("", "")
    return (
        tenant,
        query.metric.name,
        labels.index(query.by) + 1 if query.by != NO_LABEL else 0,
        ALL,
        edges,
        [segment.step for segment in segments],
        [segment.start for segment in segments],
        [segment.end for segment in segments],
        labels.index(name) + 1 if name else 0,
        value,
        2 * MAX_POINTS + 1,  # a gauge has one more cell for each key
    )
