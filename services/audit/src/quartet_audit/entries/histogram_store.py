"""SQL of histograms: counts entries by time and by one column, at a cost with a limit."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.entry_search_store import (
    CONDITIONS,
    JUDGED,
    PASSES,
    RANGE,
    filter_values,
    given_columns,
    rarest,
)
from quartet_common.data.connections import Connection

# Entries that the driver finds are counted whether they pass or not, so that no filter without an index reads the log.
COUNT = f"""
SELECT date_trunc($12, time, 'UTC') AS start, {{dimension}} AS value,
       count(*) FILTER (WHERE {PASSES}) AS passing, count(*) AS read
FROM (SELECT {JUDGED} FROM entries WHERE {RANGE}{{driver}} LIMIT $13) AS read
GROUP BY 1, 2 ORDER BY 1, 2"""

# OFFSET 0: see entry_store.CONTENTS
COUNT_FOUND = """
SELECT date_trunc($2, time, 'UTC') AS start, {dimension} AS value, count(*) AS passing, count(*) AS read
FROM unnest($3::bigint[]) AS wanted (sequence) CROSS JOIN LATERAL (
    SELECT time, action, actor, resource_type, outcome FROM entries
    WHERE tenant_id = $1 AND sequence = wanted.sequence OFFSET 0
) AS entry
GROUP BY 1, 2 ORDER BY 1, 2"""

NO_DIMENSION = "''"
DIMENSIONS = {"action": "action", "outcome": "outcome", "actor": "actor", "resource_type": "resource_type"}


class Count(NamedTuple):
    """Of the entries of a bucket with a value: how many pass the filters, and how many were read."""

    start: datetime
    value: str
    passing: int
    read: int


async def count(
    connection: Connection, tenant: str, search: Search, interval: str, dimension: str | None, most: int
) -> list[Count]:
    """The counts of entries that pass the filters that columns decide; not more than `most` entries are read."""
    given = given_columns(search)
    driver = await rarest(connection, tenant, search, given) if len(given) > 1 else next(iter(given), None)
    condition = f" AND {CONDITIONS[driver]}" if driver else ""
    column = DIMENSIONS[dimension] if dimension else NO_DIMENSION
    sql = COUNT.format(dimension=column, driver=condition)
    return [Count(*row) for row in await connection.fetch(sql, tenant, *filter_values(search), interval, most)]


async def count_found(
    connection: Connection, tenant: str, sequences: Sequence[int], interval: str, dimension: str | None
) -> list[Count]:
    """The counts of the entries at `sequences`."""
    sql = COUNT_FOUND.format(dimension=DIMENSIONS[dimension] if dimension else NO_DIMENSION)
    return [Count(*row) for row in await connection.fetch(sql, tenant, interval, sequences)]
