"""Sorted pages on a real PostgreSQL: the order is that of the documents, and cursors go through it without a gap."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import ScimError
from quartet_scim.filters import Column, Columns, Kind, Rows, matches
from quartet_scim.page_sql import PageSql, Place, Position, Selection, page_sql, select
from quartet_scim.paging import Page
from quartet_scim.query import Query
from quartet_scim.schema import ResourceType
from quartet_scim.sorting import rank
from quartet_scim.usernames import prepare

BADGE = "urn:example:params:scim:schemas:extension:badge:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SEARCHED: Columns = {
    "id": Column("id", Kind.UUID, required=True),
    "userName": Column("user_name_key", Kind.FOLDED, required=True),
    "externalId": Column("external_id"),
    "displayName": Column("display_name"),
    "meta.resourceType": Column("'User'", required=True),
    "meta.created": Column("created_at", Kind.INSTANT, required=True),
    "meta.lastModified": Column("modified_at", Kind.INSTANT, required=True),
    "groups": Rows("memberships AS m WHERE m.place = people.place", {"value": Column("m.group_id", Kind.UUID)}),
}
PEOPLE = Place("people", SEARCHED, totals="", text="", tenant="'t'")
SORTED_BY = ["id", "userName", "externalId", "displayName", "nickName", "active", "name.familyName", "profileUrl"]
SORTED_BY += ["emails", "emails.type", "emails.display", "x509Certificates", "meta.created", "meta.lastModified"]
SORTED_BY += ["meta.resourceType", f"{ENTERPRISE}:department", f"{ENTERPRISE}:manager", "schemas"]
SORTED_BY += [f"{BADGE}:{name}" for name in ("level", "score", "since", "armed", "seal", "Tags", "nicks", "floors")]
SORTED_BY += [f"{BADGE}:doors{name}" for name in ("", ".label", ".floor", ".open", ".since", ".keys")]
Document = dict[str, Any]
ODD = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


async def store(connection: asyncpg.Connection, documents: Sequence[Document]) -> None:
    """Puts the resources into the tables, and nothing else."""
    await connection.execute("DELETE FROM people")
    rows = [row(place, document) for place, document in enumerate(documents)]
    await connection.executemany("INSERT INTO people VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", rows)


def row(place: int, document: Document) -> tuple[Any, ...]:
    """The columns of a resource."""
    rest = {name: value for name, value in document.items() if name not in ("id", "meta", "groups")}
    times = (datetime.fromisoformat(document["meta"][name]) for name in ("created", "lastModified"))
    names = prepare(document["userName"]), document.get("externalId"), document.get("displayName")
    return (place, UUID(document["id"]), *names, *times, json.dumps(rest))


async def ids(connection: asyncpg.Connection, page: PageSql) -> list[tuple[str, str | None]]:
    """What the page holds: ids with their sort values."""
    query = f"SELECT id, {page.key} AS sort_key FROM people WHERE $1::text = 't' AND {page.rows}"
    return [(str(one["id"]), one["sort_key"]) for one in await connection.fetch(query, "t", *page.parameters)]


async def walk(connection: asyncpg.Connection, selection: Selection, size: int) -> list[str]:
    """All ids, page by page, each behind the last one of the page before."""
    seen: list[str] = []
    after = None
    while True:
        page = await ids(connection, page_sql(selection, PEOPLE, limit=size, after=after))
        if not page:
            return seen
        seen += [one for one, _ in page]
        assert len(seen) < 100, "the pages lead in a circle"
        after = Position(page[-1][1], UUID(page[-1][0]))


def different(documents: Sequence[Document]) -> list[Document]:
    """The same resources with ids of their own."""
    return [{**one, "id": str(UUID(int=1000 + 7 * number % 11))} for number, one in enumerate(documents)]


@ODD
@given(data=st.data())
async def test_the_database_sorts_as_the_documents_say_and_every_page_leads_to_the_next(
    connection: asyncpg.Connection,
    badge_users: ResourceType,
    documents: st.SearchStrategy[Document],
    data: st.DataObject,
) -> None:
    some = different(data.draw(st.lists(documents, min_size=1, max_size=6)))
    sort_by = data.draw(st.sampled_from(SORTED_BY))
    descending = data.draw(st.booleans())
    size = data.draw(st.integers(1, 4))
    selection = select(Query(Page(1, 1), sort_by=sort_by, descending=descending), CompiledType.of(badge_users))
    await store(connection, some)
    expected = [one["id"] for one in sorted(some, key=lambda one: rank(selection.order, one), reverse=descending)]
    assert await walk(connection, selection, size) == expected
    offset = data.draw(st.integers(0, 6))
    page = await ids(connection, page_sql(selection, PEOPLE, limit=size, offset=offset))
    assert [one for one, _ in page] == expected[offset : offset + size]


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # the filters' strategy has many parts
@ODD
@given(data=st.data())
async def test_filtered_pages_hold_what_the_filter_finds_in_order(
    connection: asyncpg.Connection,
    badge_users: ResourceType,
    documents: st.SearchStrategy[Document],
    filters: st.SearchStrategy[str],
    data: st.DataObject,
) -> None:
    some = different(data.draw(st.lists(documents, min_size=1, max_size=6)))
    some = [{name: value for name, value in one.items() if name != "groups"} for one in some]
    text = data.draw(filters)
    query = Query(Page(1, 1), filter=text, sort_by=data.draw(st.sampled_from([None, *SORTED_BY])))
    selection = select(query, CompiledType.of(badge_users))
    assert selection.condition is not None
    await store(connection, some)
    found = [one for one in some if matches(selection.condition, one)]
    expected = [one["id"] for one in sorted(found, key=lambda one: rank(selection.order, one))]
    assert await walk(connection, selection, 2) == expected
    [page] = [await ids(connection, page_sql(selection, PEOPLE, limit=2, offset=1))]
    assert [one for one, _ in page] == expected[1:3]


async def test_nothing_that_is_stored_makes_sorting_fail(
    connection: asyncpg.Connection, badge_users: ResourceType
) -> None:
    compiled = CompiledType.of(badge_users)
    odd: list[Any] = [
        None,
        "x",
        5,
        True,
        [],
        {},
        [[]],
        ["a"],
        [{"primary": "yes"}],
        {"value": 1},
        "2026-02-30T00:00:00Z",
    ]
    names = [attribute.name for attribute in badge_users.extensions[1].attributes]
    meta = {"created": "2026-01-31T09:30:00.000Z", "lastModified": "2026-01-31T09:30:00.000Z"}
    for value in odd:
        badge = dict.fromkeys(names, value)
        bare = {"userName": "a", "emails": value, "name": value, "active": value, "nickName": value, BADGE: badge}
        whole = {**bare, "id": str(UUID(int=1)), "meta": meta}
        await store(connection, [whole, {**whole, "id": str(UUID(int=2)), BADGE: value}])
        for sort_by in SORTED_BY:
            selection = select(Query(Page(1, 1), sort_by=sort_by), compiled)
            assert len(await walk(connection, selection, 1)) == 2, (sort_by, value)


async def test_a_list_that_changes_between_pages_neither_repeats_nor_misses_unchanged_resources(
    connection: asyncpg.Connection, badge_users: ResourceType
) -> None:
    meta = {"created": "2026-01-31T09:30:00.000Z", "lastModified": "2026-01-31T09:30:00.000Z"}

    def person(number: int, name: str | None) -> Document:
        nick = {} if name is None else {"nickName": name}
        return {"id": str(UUID(int=number)), "userName": f"u{number}", **nick, "meta": meta}

    names = ["b", "d", "d", "d", None, "f", None, "h"]
    for descending in (False, True):
        people = [person(10 * number, name) for number, name in enumerate(names, 1)]
        query = Query(Page(1, 1), sort_by="nickName", descending=descending)
        selection = select(query, CompiledType.of(badge_users))
        await store(connection, people)
        first = await ids(connection, page_sql(selection, PEOPLE, limit=3))
        await connection.execute("DELETE FROM people WHERE id = $1", UUID(first[-1][0]))
        for number, name in ((1, "a"), (35, "d"), (99, "z"), (98, None)):
            await connection.execute(
                "INSERT INTO people VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", *row(number, person(number, name))
            )
        after = Position(first[-1][1], UUID(first[-1][0]))
        rest = [one for one, _ in await ids(connection, page_sql(selection, PEOPLE, limit=99, after=after))]
        seen = [one for one, _ in first] + rest
        assert len(seen) == len(set(seen))
        assert {one["id"] for one in people} <= set(seen)


async def test_an_index_leads_to_a_page_wherever_it_is(
    connection: asyncpg.Connection, badge_users: ResourceType
) -> None:
    await connection.execute(
        'ALTER TABLE people ALTER user_name_key TYPE text COLLATE "C";'
        "CREATE UNIQUE INDEX people_id ON people (id); CREATE UNIQUE INDEX people_name ON people (user_name_key);"
        "SET enable_seqscan = off; SET enable_sort = off"
    )
    after = Position("bjensen", UUID(int=5))
    for sort_by, descending, index in (
        (None, False, "people_id"),
        ("userName", False, "people_name"),
        ("userName", True, "people_name"),
    ):
        selection = select(Query(Page(1, 1), sort_by=sort_by, descending=descending), CompiledType.of(badge_users))
        page = page_sql(selection, PEOPLE, limit=100, after=after)
        query = f"EXPLAIN SELECT id, {page.key} AS sort_key FROM people WHERE $1::text = 't' AND {page.rows}"
        plan = "\n".join(line[0] for line in await connection.fetch(query, "t", *page.parameters))
        assert index in plan
        assert "Index Cond" in plan, plan


async def test_a_long_text_is_sorted_by_its_beginning_so_that_a_cursor_can_carry_it(
    connection: asyncpg.Connection, badge_users: ResourceType
) -> None:
    meta = {"created": "2026-01-31T09:30:00.000Z", "lastModified": "2026-01-31T09:30:00.000Z"}
    people = [
        {"id": str(UUID(int=number)), "userName": "a", "nickName": "é" * 10_000 + ending, "meta": meta}
        for number, ending in enumerate("cab", 1)
    ]
    await store(connection, people)
    selection = select(Query(Page(1, 1), sort_by="nickName"), CompiledType.of(badge_users))
    assert await walk(connection, selection, 1) == [one["id"] for one in people]
    [(_, key)] = await ids(connection, page_sql(selection, PEOPLE, limit=1))
    assert key == "é" * 256


async def test_what_is_in_other_tables_is_not_sorted_by(badge_users: ResourceType) -> None:
    selection = select(Query(Page(1, 1), sort_by="groups"), CompiledType.of(badge_users))
    with pytest.raises(ScimError, match="groups"):
        page_sql(selection, PEOPLE, limit=1)
