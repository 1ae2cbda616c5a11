"""SQL of searching by terms: finds candidates by the index, or by a scan, and checks the parts of each.

Candidates are the first entries that the filters with indexes of their own find, which is enough for common terms, and
all of these if they are few; then those of blocks in the index, and of the end of the log that is not in it yet. Blocks
are in the order of the sequence and pages in that of the time, so blocks are taken by their times, and a candidate is
ready once no block can have one that comes before it.
"""

from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import replace
from itertools import accumulate

from quartet_audit.entries import text_index_store
from quartet_audit.entries.entry_domain import Position, Search
from quartet_audit.entries.entry_search_store import (
    MAX_COUNTED,
    MAX_SCANNED,
    PASSES,
    PLANNER,
    Page,
    count_passing,
    filter_values,
    given_columns,
)
from quartet_audit.entries.entry_search_store import read_page as read_page_of_columns
from quartet_audit.entries.term_domain import Terms
from quartet_audit.entries.text_index_domain import BLOCK, SLOTS, places
from quartet_audit.entries.text_index_store import IndexedBlock
from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection

MAX_UNINDEXED = 5 * BLOCK
"""Entries outside of the index that one page may look at; with more, the log is read in the order of pages."""
MAX_CHECKED = 2_000
"""Entries whose parts one page may read; a page that ends there is short and has a cursor on."""
CHECKED_AT_ONCE = 250
BLOCKS_READ = 256
"""Blocks whose times are read at a time."""
FIRST_BLOCKS = 4
"""Blocks whose postings are read at first; then each time twice as many, up to MAX_BLOCKS."""
MAX_BLOCKS = 128
MAX_LOOKED_UP = 5_000
"""Candidates of the index that one page may look up."""
COST_OF_BLOCK = 5
"""Entries that could be looked at in the time of the postings of a block."""
PROBED = 200
"""Entries that are checked without the index at first: a term that many entries have needs no other."""
MAX_PROBED = 1_000
"""Entries that are looked at to find these."""
CANDIDATES = 200
"""Candidates after which no further block is looked at before they are checked."""
LAST_SEQUENCE = 2**63 - 1

IN_RANGE = f"(time, sequence) > ($2, $3) AND (time, sequence) < ($4, $5) AND {PASSES}"

# OFFSET 0: see entry_store.CONTENTS
LOOK_UP = f"""
SELECT time, sequence FROM unnest($12::bigint[]) AS wanted (sequence) CROSS JOIN LATERAL (
    SELECT time, action, actor, resource_id, resource_type, outcome FROM entries
    WHERE tenant_id = $1 AND sequence = wanted.sequence OFFSET 0
) AS entry
WHERE {IN_RANGE}"""

READ_GAPS = f"""
SELECT time, sequence FROM unnest($12::bigint[], $13::bigint[]) AS wanted (first, after) CROSS JOIN LATERAL (
    SELECT time, sequence, action, actor, resource_id, resource_type, outcome FROM entries
    WHERE tenant_id = $1 AND sequence >= first AND sequence < after ORDER BY sequence OFFSET 0
) AS entry
WHERE {IN_RANGE}"""


async def read_page(connection: Connection, tenant: str, search: Search) -> Page:
    """The first page that answers `search`; `connection` must be in a transaction."""
    terms = Terms(search)
    found: list[Position] = []
    checked = 0
    async for candidates in _candidates(connection, tenant, search, terms):
        for some in slices(candidates.positions, CHECKED_AT_ONCE):
            parts = await text_index_store.read_parts(connection, tenant, [one.sequence for one in some])
            found += [one for one in some if terms.are_in(parts[one.sequence])]
            if len(found) > search.limit:
                return Page(found[: search.limit], found[search.limit - 1])
            checked += len(some)
            if checked >= MAX_CHECKED:
                return Page(found, some[-1])
        if candidates.next is not None:
            return Page(found, candidates.next)
    return Page(found, None)


async def _candidates(connection: Connection, tenant: str, search: Search, terms: Terms) -> AsyncIterator[Page]:
    """The entries that may answer `search`, in the order of pages; `next` of the last is set if there may be more."""
    await connection.execute(PLANNER)
    gaps = await text_index_store.find_unindexed(connection, tenant)
    if (
        not terms.keys
        or sum(after - first for first, after in gaps) > MAX_UNINDEXED
        or await _is_rare(connection, tenant, search)
    ):
        yield await read_page_of_columns(connection, tenant, replace(search, limit=MAX_SCANNED))
        return
    newest = await read_page_of_columns(connection, tenant, replace(search, limit=PROBED), MAX_PROBED)
    yield replace(newest, next=None)
    if newest.next is not None:
        async for page in _indexed(connection, tenant, search.beyond(newest.next), terms, gaps):
            yield page


async def _is_rare(connection: Connection, tenant: str, search: Search) -> bool:
    """Whether a filter with an index of its own finds so few entries that they are all looked at."""
    given = given_columns(search)
    counts = await count_passing(connection, tenant, search, given) if given else {}
    return min(counts.values(), default=MAX_COUNTED) < MAX_COUNTED


async def _indexed(
    connection: Connection, tenant: str, search: Search, terms: Terms, gaps: Sequence[tuple[int, int]]
) -> AsyncIterator[Page]:
    """As `_candidates`: those of the index, and all entries in its gaps."""
    having = await text_index_store.find_blocks(connection, tenant, terms.keys)
    blocks = await text_index_store.read_blocks(connection, tenant, search, having, 0, BLOCKS_READ)
    waiting = await _read_gaps(connection, tenant, search, gaps)
    looked_at, at_once, known = 0, FIRST_BLOCKS, len(blocks)
    while blocks:
        start = _start(search, blocks[0])
        ready = [one for one in waiting if _is_before(search, one, start)]
        is_over = looked_at >= MAX_LOOKED_UP and _is_before(search, _beginning(search), start)
        yield Page(_sorted(search, ready), start if is_over else None)
        waiting = [one for one in waiting if not _is_before(search, one, start)]
        found = await candidates_of(connection, tenant, terms, blocks[:at_once])
        at_once = min(2 * at_once, MAX_BLOCKS)
        taken = _enough(found)
        sequences = [sequence for some in found[:taken] for sequence in some]
        waiting += await look_up(connection, tenant, search, sequences)
        looked_at += len(sequences) + taken * COST_OF_BLOCK
        blocks = blocks[taken:]
        if not blocks and known % BLOCKS_READ == 0:
            blocks = await text_index_store.read_blocks(connection, tenant, search, having, known, BLOCKS_READ)
            known += len(blocks)
    yield Page(_sorted(search, waiting), None)


def _enough(found: Sequence[Sequence[int]]) -> int:
    """How many of the first blocks have CANDIDATES together, or all of them."""
    totals = accumulate(map(len, found))
    return next((number for number, total in enumerate(totals, 1) if total >= CANDIDATES), len(found))


async def _read_gaps(
    connection: Connection, tenant: str, search: Search, gaps: Sequence[tuple[int, int]]
) -> list[Position]:
    """The entries outside of the index that pass the filters that columns decide."""
    firsts, ends = [first for first, _ in gaps], [after for _, after in gaps]
    rows = await connection.fetch(READ_GAPS, tenant, *filter_values(search), firsts, ends)
    return [Position(*row) for row in rows]


async def look_up(connection: Connection, tenant: str, search: Search, sequences: Sequence[int]) -> list[Position]:
    """Those of the entries at `sequences` that pass the filters that columns decide."""
    rows = await connection.fetch(LOOK_UP, tenant, *filter_values(search), sequences)
    return [Position(*row) for row in rows]


async def candidates_of(
    connection: Connection, tenant: str, terms: Terms, blocks: Sequence[IndexedBlock]
) -> list[list[int]]:
    """The candidates of each of `blocks`."""
    numbers = [block.start // BLOCK for block in blocks if block.postings is None]
    read = await text_index_store.read_postings(connection, tenant, terms.keys, numbers)
    found = []
    for block in blocks:
        number = block.start // BLOCK
        of_keys = {
            key: read.get((key % SLOTS, number), b"") if block.postings is None else block.postings
            for key in terms.keys
        }
        sets = [places(postings, key) for key, postings in of_keys.items()]
        fewest: Set[int] = min(sets, key=len)
        both = set(fewest).intersection(*sets).union(block.unlisted or ())
        found.append([block.start + place for place in both])
    return found


def _start(search: Search, block: IndexedBlock) -> Position:
    """The position before which, in the order of pages, `block` has no entry."""
    return Position(block.last_time, LAST_SEQUENCE) if search.newest_first else Position(block.first_time, -1)


def _beginning(search: Search) -> Position:
    """The position after which `search` begins, in the order of pages."""
    return search.before if search.newest_first else search.after


def _is_before(search: Search, one: Position, other: Position) -> bool:
    """Whether `one` comes before `other` in the order of pages."""
    return one > other if search.newest_first else one < other


def _sorted(search: Search, positions: Sequence[Position]) -> list[Position]:
    """`positions` in the order of pages."""
    return sorted(positions, reverse=search.newest_first)
