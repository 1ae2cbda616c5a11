"""SQL of searching: reads one page of a log at a cost that neither the log's size nor the page's depth changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg

from quartet_audit.entries.entry_domain import Position, Search
from quartet_common.data.connections import Connection

MAX_SCANNED = 10_000
"""Entries that one page may look at when filters are combined; a page that ends there is short and has a cursor on."""

MAX_COUNTED = 2_000
"""Entries that are counted for each filter to find the most selective one."""

COLUMNS = {"resource": "resource_id", "action": "action", "actor": "actor", "outcome": "outcome"}
"""The columns of the exact filters, as a rule the most selective first; each has an index in the order of pages."""

CONDITIONS = {
    "resource": "resource_id = ANY($6::text[])",
    "action": "action = $7",
    "actor": "actor = $8",
    "outcome": "outcome = $9",
}

# Each query has an index in the order of its result. Where the planner expects few rows it would read all of them and
# sort; if its estimate is wrong, a page costs as much as the whole log.
PLANNER = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"""

RANGE = "tenant_id = $1 AND (time, sequence) > ($2, $3) AND (time, sequence) < ($4, $5)"

# The filters that columns of an entry decide.
PASSES = """
($6::text[] IS NULL OR resource_id = ANY($6)) AND ($7::text IS NULL OR action = $7)
AND ($8::text IS NULL OR actor = $8) AND ($9::text IS NULL OR outcome = $9)
AND ($10::text IS NULL OR starts_with(action, $10)) AND ($11::text IS NULL OR resource_type = $11)"""
JUDGED = "time, sequence, action, actor, resource_id, resource_type, outcome"

# The last scanned row is returned whether it matches or not: the next page starts there.
PAGE = f"""
SELECT time, sequence, passes, place FROM (
    SELECT time, sequence, row_number() OVER (ORDER BY time {{order}}, sequence {{order}}) AS place, {PASSES} AS passes
    FROM ({{scanned}}) AS scanned
) AS judged
WHERE passes OR place = $13
ORDER BY time {{order}}, sequence {{order}} LIMIT $12 + 1"""

SCANNED = f"""
SELECT {JUDGED} FROM entries WHERE {RANGE}{{driver}} ORDER BY time {{order}}, sequence {{order}} LIMIT $13"""

# A resource has up to three ids in the log.
SCANNED_OF_RESOURCE = f"""
SELECT found.* FROM unnest($6::text[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT {JUDGED} FROM entries WHERE {RANGE} AND resource_id = wanted.id
    ORDER BY time {{order}}, sequence {{order}} LIMIT $13
) AS found
ORDER BY time {{order}}, sequence {{order}} LIMIT $13"""

# A prefix stands for a few actions: the newest of each are merged, since one range of the index is not in their order.
PAGE_OF_ACTIONS = """
SELECT found.time, found.sequence FROM unnest($6::text[]) AS wanted (action) CROSS JOIN LATERAL (
    SELECT time, sequence FROM entries WHERE {range} AND action = wanted.action
    ORDER BY time {order}, sequence {order} LIMIT $7 + 1
) AS found
ORDER BY found.time {order}, found.sequence {order} LIMIT $7 + 1"""

# Jumps from one action to the next in the index, however many entries each has.
ACTIONS = """
WITH RECURSIVE known (action) AS (
    (SELECT action FROM entries WHERE tenant_id = $1 AND action >= $2 ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (
        SELECT entries.action FROM entries WHERE tenant_id = $1 AND entries.action > known.action
        ORDER BY entries.action LIMIT 1
    ) FROM known WHERE starts_with(known.action, $2)
)
SELECT action FROM known WHERE starts_with(action, $2)"""


@dataclass(frozen=True)
class Page:
    """The positions of entries, and where the next page begins: None when there is none."""

    positions: list[Position]
    next: Position | None

    @property
    def sequences(self) -> list[int]:
        """The places of the entries in their log."""
        return [position.sequence for position in self.positions]


async def read_page(connection: Connection, tenant: str, search: Search, most: int | None = None) -> Page:
    """The first page that answers `search`, of which it sees what columns decide, in the log of `tenant`; `connection`
    must be in a transaction. At most `most` entries are looked at, by default MAX_SCANNED.
    """
    await connection.execute(PLANNER)
    given = given_columns(search)
    if search.prefix is not None and not given and search.resource_type is None:
        return await _page_of_actions(connection, tenant, search)
    driver = await rarest(connection, tenant, search, given) if len(given) > 1 else next(iter(given), None)
    is_judged = len(given) > 1 or search.prefix is not None or search.resource_type is not None
    scanned_rows = (most or MAX_SCANNED) if is_judged else search.limit + 1
    order = _order(search)
    scanned = SCANNED_OF_RESOURCE if driver == "resource" else SCANNED
    condition = f" AND {CONDITIONS[driver]}" if driver else ""
    sql = PAGE.format(scanned=scanned.format(driver=condition, order=order), order=order)
    rows = await connection.fetch(sql, tenant, *filter_values(search), search.limit, scanned_rows)
    page = _page([row for row in rows if row["passes"]], search.limit)
    if page.next is None and rows and rows[-1]["place"] == scanned_rows:
        return replace(page, next=_position(rows[-1]))
    return page


def given_columns(search: Search) -> list[str]:
    """The filters of `search` that have an index."""
    return [name for name in COLUMNS if getattr(search, name) is not None]


def filter_values(search: Search) -> list[object]:
    """The parameters $2 to $11 of RANGE and PASSES."""
    ids = None if search.resource is None else sorted({search.resource, *search.recorded_ids})
    exact = search.action, search.actor, search.outcome, search.prefix, search.resource_type
    return [*search.after, *search.before, ids, *exact]


async def _page_of_actions(connection: Connection, tenant: str, search: Search) -> Page:
    actions = [row["action"] for row in await connection.fetch(ACTIONS, tenant, search.prefix)]
    sql = PAGE_OF_ACTIONS.format(range=RANGE, order=_order(search))
    rows = await connection.fetch(sql, tenant, *search.after, *search.before, actions, search.limit)
    return _page(rows, search.limit)


def _page(rows: Sequence[asyncpg.Record], limit: int) -> Page:
    """The page in `rows`, of which there is one more than `limit` when there is a next page."""
    following = _position(rows[limit - 1]) if len(rows) > limit else None
    return Page([_position(row) for row in rows[:limit]], following)


def _position(row: asyncpg.Record) -> Position:
    return Position(row["time"], row["sequence"])


async def rarest(connection: Connection, tenant: str, search: Search, given: Sequence[str]) -> str:
    """Which of the filters `given` the fewest entries pass."""
    counts = await count_passing(connection, tenant, search, given)
    return min(given, key=counts.__getitem__)


async def count_passing(connection: Connection, tenant: str, search: Search, given: Sequence[str]) -> dict[str, int]:
    """How many entries pass each of the filters `given`, up to MAX_COUNTED."""
    counts = ", ".join(
        f"(SELECT count(*) FROM (SELECT FROM entries WHERE {RANGE} AND {CONDITIONS[name]} "
        f"LIMIT {MAX_COUNTED}) AS counted) AS {name}"
        for name in given
    )
    unused = "($6::text[], $7::text, $8::text, $9::text, $10::text, $11::text) IS NULL AS unused"
    row = await connection.fetchrow(f"SELECT {counts}, {unused}", tenant, *filter_values(search))
    if row is None:
        raise AssertionError("a SELECT without FROM always gives a row")
    return {name: int(row[name]) for name in given}


def _order(search: Search) -> str:
    return "DESC" if search.newest_first else "ASC"
