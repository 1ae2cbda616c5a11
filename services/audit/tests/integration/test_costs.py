"""The cost of a page, in rows that PostgreSQL touches: neither the log's size nor the page's depth may show in it."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from quartet_audit.entries import entry_range_store, entry_search_store, entry_store
from quartet_audit.entries.entry_domain import Position, Search
from quartet_audit.entries.entry_search_store import Page
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

ENTRIES = 5000
LIMIT = 20
PLANNING = 20
"""Rows that the planner looks at, at the ends of indexes."""
TOUCHED = """
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables
WHERE schemaname = 'audit' AND relname = 'entries'"""
TOUCHED_WITH_PARTS = """
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables
WHERE schemaname = 'audit' AND relname IN ('entries', 'personal_parts', 'erased_parts')"""


@pytest.fixture(scope="module")
async def large(audit: "Audit", make_event: "MakeEvent") -> tuple[str, Position]:
    """A tenant with 5,000 entries, one a minute, and a position deep in them; PostgreSQL's statistics know of all."""
    tenant = new_tenant()
    first = make_event().time
    events = [
        make_event(
            f"users.user.verb{number % 5}",
            tenant,
            time=first + timedelta(minutes=number),
            actorid="rare" if number % 50 == 0 else "okta",
            subject=f"users/{number % 2}",
            outcome="denied" if number % 50 == 1 else "success",
        )
        for number in range(ENTRIES)
    ]
    for start in range(0, ENTRIES, 500):
        await audit.record(events[start : start + 500])
    async with audit.owner.database.connection() as connection:
        await connection.execute("ANALYZE entries")
    return tenant, Position(events[ENTRIES // 10].time, 0)


async def read(audit: "Audit", tenant: str, search: Search) -> tuple[Page, int]:
    """The page that answers `search`, and how many rows were touched for it."""
    async with audit.container.database.snapshot() as connection:
        before = await connection.fetchval(TOUCHED)  # what the connection did earlier may not have been cleared yet
        page = await entry_search_store.read_page(connection, tenant, search)
        return page, await connection.fetchval(TOUCHED) - before


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    ("search", "streams"),
    [
        (Search(), 1),
        (Search(actor="okta"), 1),
        (Search(actor="rare"), 1),
        (Search(action="users.user.verb3"), 1),
        (Search(resource="1"), 1),
        (Search(outcome="denied"), 1),
        (Search(outcome="success"), 1),
        (Search(prefix="users.user."), 5),
        (Search(prefix="users.user.verb4"), 1),
        (Search(actor="nobody"), 1),
    ],
    ids=[
        "all",
        "actor",
        "rare actor",
        "action",
        "resource",
        "rare outcome",
        "outcome",
        "prefix",
        "narrow prefix",
        "none",
    ],
)
async def test_a_page_touches_no_more_rows_than_it_shows_wherever_it_is(
    audit: "Audit", large: tuple[str, Position], search: Search, streams: int, newest_first: bool
) -> None:
    tenant, deep = large
    asked = Search(**{**vars(search), "limit": LIMIT, "newest_first": newest_first})
    for question in (asked, asked.beyond(deep)):
        page, rows = await read(audit, tenant, question)
        jumps = 2 * streams + 2  # from action to action, and one row that shows that there are more
        assert rows <= streams * (LIMIT + 1) + jumps
        assert page.next is not None or len(page.sequences) < LIMIT


async def test_the_contents_of_a_page_are_two_rows_of_each_entry(audit: "Audit", large: tuple[str, Position]) -> None:
    tenant, _ = large
    async with audit.container.database.snapshot() as connection:
        page = await entry_search_store.read_page(connection, tenant, Search(actor="okta", limit=LIMIT))
        before = await connection.fetchval(TOUCHED_WITH_PARTS)
        entries = await entry_store.read_entries(connection, tenant, page.sequences)
        touched = await connection.fetchval(TOUCHED_WITH_PARTS) - before
    assert [json.loads(entry)["sequence"] for entry in entries] == page.sequences
    assert touched == 2 * LIMIT


async def test_filters_that_never_meet_touch_a_bounded_number_of_rows(
    audit: "Audit", large: tuple[str, Position], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_search_store, "MAX_SCANNED", 200)
    monkeypatch.setattr(entry_search_store, "MAX_COUNTED", 100)
    page, rows = await read(audit, large[0], Search(actor="okta", prefix="nothing.", outcome="success"))
    assert (page.sequences, page.next is None) == ([], False)
    assert rows <= 200 + 2 * 100 + PLANNING


async def test_the_filter_that_the_fewest_entries_pass_leads(audit: "Audit", large: tuple[str, Position]) -> None:
    page, rows = await read(audit, large[0], Search(actor="okta", outcome="denied", resource="1", limit=500))
    assert (len(page.sequences), page.next) == (ENTRIES // 50, None)
    assert rows <= 100 + 3 * entry_search_store.MAX_COUNTED + PLANNING


async def test_a_batch_of_a_stream_or_an_export_touches_no_more_than_its_own_entries(
    audit: "Audit", large: tuple[str, Position]
) -> None:
    """Also by a plan that the connection keeps from a time when the tables were small: hence the planner's settings."""
    tenant, _ = large
    async with audit.container.database.snapshot() as connection:
        before = await connection.fetchval(TOUCHED_WITH_PARTS)
        sequences, end = await entry_range_store.find_sequences(connection, tenant, Search(), 4000, ENTRIES, 200)
        entries = await entry_store.read_entries(connection, tenant, sequences)
        touched = await connection.fetchval(TOUCHED_WITH_PARTS) - before
        assert await connection.fetchval("SHOW enable_seqscan") == "off"
    assert (sequences, end) == (list(range(4000, 4200)), 4200)
    assert len(entries) == 200
    assert touched <= 3 * len(entries) + PLANNING
