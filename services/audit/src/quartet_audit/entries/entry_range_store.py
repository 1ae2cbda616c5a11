"""SQL of reading a log in its order: its size, which of its next entries pass a search, and their leaves.

For an address, a trace id or a text the index of terms says which entries may pass; their parts are read.
"""

from collections.abc import Sequence
from typing import NamedTuple

from quartet_audit.entries import text_index_store
from quartet_audit.entries.entry_domain import Search
from quartet_audit.entries.entry_search_store import PASSES, PLANNER, RANGE, filter_values
from quartet_audit.entries.term_domain import Terms
from quartet_audit.entries.text_search_store import candidates_of, look_up
from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection

MAX_CHECKED = 2_000
"""Entries whose parts one call may read, for an address, a trace id or a text."""
CHECKED_AT_ONCE = 250

FIND = f"""
SELECT sequence FROM entries
WHERE {RANGE} AND sequence >= $12 AND sequence < $13 AND {PASSES}
ORDER BY sequence LIMIT $14"""

READ_LEAVES = "SELECT sequence, leaf FROM leaves WHERE tenant_id = $1 AND sequence = ANY($2)"


class Found(NamedTuple):
    """The sequences of entries that pass, in order, and the sequence from which on nothing was looked at yet."""

    sequences: list[int]
    end: int


async def read_size(connection: Connection, tenant: str) -> int:
    """How many entries the log of `tenant` has, also of those that were removed."""
    return await connection.fetchval("SELECT size FROM logs WHERE tenant_id = $1", tenant) or 0


async def find_sequences(connection: Connection, tenant: str, search: Search, start: int, end: int, most: int) -> Found:
    """The first `most` entries from `start` to before `end` that pass the filters of `search`, whatever its order.

    `connection` must be in a transaction, and the entries are read in it too: a plan that was made while the tables
    were small, and is kept by the connection, would read all parts of the log for each batch.
    """
    await connection.execute(PLANNER)
    if search.needs_parts:
        return await _find_by_parts(connection, tenant, search, start, end, most)
    found = await _find(connection, tenant, search, start, end, most)
    return Found(found, found[-1] + 1 if len(found) == most else end)


async def _find(connection: Connection, tenant: str, search: Search, start: int, end: int, most: int) -> list[int]:
    rows = await connection.fetch(FIND, tenant, *filter_values(search), start, end, most)
    return [row["sequence"] for row in rows]


async def _find_by_parts(connection: Connection, tenant: str, search: Search, start: int, end: int, most: int) -> Found:
    terms, found, checked = Terms(search), list[int](), 0
    for some in slices(await _candidates(connection, tenant, terms, start, end), CHECKED_AT_ONCE):
        if len(found) >= most or checked >= MAX_CHECKED:
            end = some[0]
            break
        passing = sorted(one.sequence for one in await look_up(connection, tenant, search, some))
        parts = await text_index_store.read_parts(connection, tenant, passing)
        found += [sequence for sequence in passing if terms.are_in(parts[sequence])]
        checked += len(passing)
    return Found(found[:most], found[most - 1] + 1 if len(found) > most else end)


async def _candidates(connection: Connection, tenant: str, terms: Terms, start: int, end: int) -> list[int]:
    """The entries from `start` to before `end` that may have the terms: by the index, and all that are not in it."""
    if not terms.keys:
        return list(range(start, end))
    blocks = await text_index_store.read_blocks_of_range(connection, tenant, start, end)
    wanted, first = list[int](), start
    for block, places in zip(blocks, await candidates_of(connection, tenant, terms, blocks), strict=True):
        wanted += range(first, block.start)
        wanted += [sequence for sequence in sorted(places) if start <= sequence < end]
        first = max(first, block.end)
    return wanted + list(range(first, end))


async def read_leaves(connection: Connection, tenant: str, sequences: Sequence[int]) -> list[bytes]:
    """The leaves of the entries at `sequences`, in their order."""
    found = {row["sequence"]: row["leaf"] for row in await connection.fetch(READ_LEAVES, tenant, sequences)}
    return [found[sequence] for sequence in sequences]
