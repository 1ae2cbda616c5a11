"""SQL of the checks that logs have no gap and are signed in time: connection first; never commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from quartet_common.data.connections import Connection, fetch_one

READ_SIZES = """
SELECT tenant_id, size, coalesce(p.entries, 0) AS expired FROM logs LEFT JOIN pruned_logs p USING (tenant_id)"""
READ_BEGIN = "SELECT now() AS now, (SELECT began_at FROM logging_failures WHERE kind = $1) AS began"

# Both columns of a key: read from its index alone, once autovacuum has been there.
COUNT = """
SELECT wanted.tenant_id, first, after,
       (SELECT count(*) FROM leaves l WHERE l.tenant_id = wanted.tenant_id AND sequence >= first AND sequence < after)
           AS leaves,
       (SELECT count(*) FROM entries e WHERE e.tenant_id = wanted.tenant_id AND sequence >= first AND sequence < after)
           AS entries,
       wanted.tenant_id = '' OR EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = wanted.tenant_id)
           AS has_no_entries
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS wanted (tenant_id, first, after)"""

FIND_MISSING_LEAVES = """
SELECT number FROM generate_series($2::bigint, $3::bigint - 1) AS number
WHERE NOT EXISTS (SELECT FROM leaves WHERE tenant_id = $1 AND sequence = number) ORDER BY number LIMIT 1"""
FIND_MISSING_ENTRIES = """
SELECT number FROM generate_series($2::bigint, $3::bigint - 1) AS number
WHERE NOT EXISTS (SELECT FROM entries WHERE tenant_id = $1 AND sequence = number) ORDER BY number LIMIT 1"""

# OFFSET 0: the entry of each log is looked up by the key
# Restored entries were recorded long ago, and wait since they were restored.
READ_UNSIGNED = """
SELECT behind.tenant_id, extract(epoch FROM now() - waits_since)::float8 AS age FROM (
    SELECT l.tenant_id, coalesce(c.size, 0) AS signed FROM logs l LEFT JOIN checkpoints c USING (tenant_id)
    WHERE l.tenant_id <> '' AND l.size > coalesce(c.size, 0) LIMIT 1000
) AS behind CROSS JOIN LATERAL (
    SELECT greatest(recorded_at, (SELECT stored_at FROM restores WHERE tenant_id = behind.tenant_id)) AS waits_since
    FROM entries WHERE tenant_id = behind.tenant_id AND sequence = behind.signed OFFSET 0
) AS first
ORDER BY waits_since LIMIT 1"""

READ_SHRUNK = """
SELECT tenant_id, coalesce(l.size, 0) AS size, c.size AS signed FROM logs l RIGHT JOIN checkpoints c USING (tenant_id)
WHERE coalesce(l.size, 0) < c.size ORDER BY tenant_id LIMIT 1"""


class Range(NamedTuple):
    """The sequences of a log from `first` to before `after`."""

    log: str
    first: int
    after: int


class Gap(NamedTuple):
    """Rows that a range lacks: of `leaves` or `entries`, how many from `first` to before `after`; `first` is the first
    one.
    """

    log: str
    table: str
    number: int
    first: int
    after: int


class Unsigned(NamedTuple):
    """The oldest entry beyond the last checkpoint of its log, and its age in seconds."""

    log: str
    age: float


class Shrunk(NamedTuple):
    """A log that is smaller than its last checkpoint."""

    log: str
    size: int
    signed: int


async def read_extents(connection: Connection) -> dict[str, range]:
    """The sequences that each log has, sorted by log: from the first one that has not expired."""
    rows = await connection.fetch(READ_SIZES)
    return dict(sorted([(row["tenant_id"], range(row["expired"], row["size"])) for row in rows]))


async def read_begin(connection: Connection, kind: str) -> tuple[datetime, datetime | None]:
    """The time of the transaction, and that at which the failure of logging of this kind began, if it lasts."""
    row = await fetch_one(connection, READ_BEGIN, kind)
    return row["now"], row["began"]


async def find_gaps(connection: Connection, ranges: Sequence[Range]) -> list[Gap]:
    """The ranges that lack rows. Deployment log and deleted tenants have leaves only."""
    rows = await connection.fetch(COUNT, *map(list, zip(*ranges, strict=True)))
    gaps = []
    for row in rows:
        log, first, after = row["tenant_id"], row["first"], row["after"]
        lacking = {"leaves": after - first - row["leaves"]}
        if not row["has_no_entries"]:
            lacking["entries"] = after - first - row["entries"]
        for table, number in lacking.items():
            if number:
                query = FIND_MISSING_LEAVES if table == "leaves" else FIND_MISSING_ENTRIES
                missing = await connection.fetchval(query, log, first, after)
                gaps.append(Gap(log, table, number, missing, after))
    return gaps


async def read_unsigned(connection: Connection) -> Unsigned | None:
    """The oldest entry that no checkpoint covers, or None."""
    row = await connection.fetchrow(READ_UNSIGNED)
    return None if row is None else Unsigned(row["tenant_id"], row["age"])


async def read_shrunk(connection: Connection) -> Shrunk | None:
    """A log that is smaller than its last checkpoint, or None."""
    row = await connection.fetchrow(READ_SHRUNK)
    return None if row is None else Shrunk(*row)
