"""SQL of searching: reads one page of a log at a cost that neither the log's size nor the page's depth changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg

from quartet_audit.entry_domain import Position, Search
from quartet_common.data.connections import Connection

MAX_SCANNED = 10_000
"""Entries that one page may look at when filters are combined; a page that ends there is short and has a cursor on."""

MAX_COUNTED = 2_000
"""Up to how many entries the filters are compared to find the one that the fewest pass."""

COLUMNS = {"resource": "resource_id", "action": "action", "actor": "actor", "outcome": "outcome"}
"""The columns of the exact filters, as a rule the most selective first; each has an index in the order of pages."""

# Every question here has an index in the very order of the answer. Where the planner expects few rows it would rather
# read all of them and sort, and its guess may be wrong: then a page would cost as much as the log is long.
PLANNER = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"""

RANGE = "tenant_id = $1 AND (time, sequence) > ($2, $3) AND (time, sequence) < ($4, $5)"

# The last entry that may be looked at comes back whether it passes or not: it says where the next page goes on.
PAGE = """
SELECT time, sequence, entry, passes, place FROM (
    SELECT time, sequence, entry, row_number() OVER (ORDER BY time {order}, sequence {order}) AS place,
           ($6::text IS NULL OR resource_id = $6) AND ($7::text IS NULL OR action = $7)
           AND ($8::text IS NULL OR actor = $8) AND ($9::text IS NULL OR outcome = $9)
           AND ($10::text IS NULL OR starts_with(action, $10)) AS passes
    FROM (
        SELECT time, sequence, action, actor, resource_id, outcome, entry FROM entries WHERE {range}{driver}
        ORDER BY time {order}, sequence {order} LIMIT {scanned}
    ) AS scanned
) AS judged
WHERE passes OR place = {scanned}
ORDER BY time {order}, sequence {order} LIMIT $11 + 1"""

# A prefix stands for a few actions: the newest of each are merged, since one range of the index is not in their order.
PAGE_OF_ACTIONS = """
SELECT found.time, found.sequence, found.entry FROM unnest($6::text[]) AS wanted (action) CROSS JOIN LATERAL (
    SELECT time, sequence, entry FROM entries WHERE {range} AND action = wanted.action
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
    """Entries as JSON, and where the next page begins: None when there is none."""

    entries: list[str]
    next: Position | None


async def read_page(connection: Connection, tenant: str, search: Search) -> Page:
    """The first page that answers `search` in the log of `tenant`; `connection` must be in a transaction."""
    await connection.execute(PLANNER)
    given = [name for name in COLUMNS if getattr(search, name) is not None]
    if search.prefix is not None and not given:
        return await _page_of_actions(connection, tenant, search)
    driver = await _rarest(connection, tenant, search, given) if len(given) > 1 else next(iter(given), None)
    rows = await connection.fetch(
        PAGE.format(
            range=RANGE,
            driver=f" AND {COLUMNS[driver]} = ${6 + list(COLUMNS).index(driver)}" if driver else "",
            order=_order(search),
            scanned=MAX_SCANNED,
        ),
        tenant,
        *search.after,
        *search.before,
        *(getattr(search, name) for name in COLUMNS),
        search.prefix,
        search.limit,
    )
    page = _page([row for row in rows if row["passes"]], search.limit)
    if page.next is None and rows and rows[-1]["place"] == MAX_SCANNED:
        return replace(page, next=_position(rows[-1]))
    return page


async def _page_of_actions(connection: Connection, tenant: str, search: Search) -> Page:
    actions = [row["action"] for row in await connection.fetch(ACTIONS, tenant, search.prefix)]
    sql = PAGE_OF_ACTIONS.format(range=RANGE, order=_order(search))
    rows = await connection.fetch(sql, tenant, *search.after, *search.before, actions, search.limit)
    return _page(rows, search.limit)


def _page(rows: Sequence[asyncpg.Record], limit: int) -> Page:
    """The page in `rows`, of which there is one more than `limit` when there is a next page."""
    onward = _position(rows[limit - 1]) if len(rows) > limit else None
    return Page([row["entry"] for row in rows[:limit]], onward)


def _position(row: asyncpg.Record) -> Position:
    return Position(row["time"], row["sequence"])


async def _rarest(connection: Connection, tenant: str, search: Search, given: Sequence[str]) -> str:
    """Which of the filters `given` the fewest entries pass, each counted up to MAX_COUNTED."""
    counts = ", ".join(
        f"(SELECT count(*) FROM (SELECT FROM entries WHERE {RANGE} AND {COLUMNS[name]} = ${6 + index} "
        f"LIMIT {MAX_COUNTED}) AS counted) AS {name}"
        for index, name in enumerate(given)
    )
    values = [getattr(search, name) for name in given]
    row = await connection.fetchrow(f"SELECT {counts}", tenant, *search.after, *search.before, *values)
    if row is None:
        raise AssertionError("a SELECT without FROM always gives a row")
    return min(given, key=lambda name: int(row[name]))


def _order(search: Search) -> str:
    return "DESC" if search.newest_first else "ASC"
