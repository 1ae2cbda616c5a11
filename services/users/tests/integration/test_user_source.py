"""Lists and searches of users over HTTP: orders, cursors, totals, slow queries; on the real PostgreSQL."""

import asyncio
import json
from typing import Any

import pytest

from quartet_common.core.identifiers import new_id
from quartet_common.data.database import Database
from quartet_common.web.cursors import EXTENSION, encode_cursor
from quartet_scim.compiled_type import CompiledType
from quartet_scim.page_sql import Position, page_sql, select
from quartet_scim.paging import Page
from quartet_scim.query import Query
from quartet_scim.schema import user_resource_type
from quartet_scim_http import list_store
from quartet_testing.services import RunningService, new_tenant
from quartet_users.search import user_source
from quartet_users.search.user_source import UserSource
from quartet_users.sessions import session_store
from quartet_users.users import user_store
from quartet_users.users.user_domain import User, create
from quartet_users.users.user_store import columns

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
USERS = "/scim/v2/Users"

Headers = dict[str, str]
Document = dict[str, Any]


async def make(users: RunningService, headers: Headers, *names: str, **attributes: Any) -> list[Document]:
    made = []
    for name in names:
        body = {"schemas": [CORE], "userName": name, **attributes}
        response = await users.client.post(USERS, headers=headers, json=body)
        assert response.status_code == 201, await response.get_data()
        made.append(await response.get_json(force=True))
    return made


async def ask(users: RunningService, headers: Headers, path: str = USERS, **query: str) -> Document:
    response = await users.client.get(path, headers=headers, query_string=query)
    body: Document = await response.get_json(force=True)
    assert response.status_code == 200, body
    return body


async def refused(users: RunningService, headers: Headers, **query: str) -> tuple[int, str | None]:
    response = await users.client.get(USERS, headers=headers, query_string=query)
    body = await response.get_json(force=True)
    assert body["schemas"] == [ERROR]
    assert body["detail"]
    return response.status_code, body.get("scimType")


def names(page: Document) -> list[str]:
    return [one["userName"] for one in page["Resources"]]


async def walk(users: RunningService, headers: Headers, **query: str) -> list[str]:
    """The names on all pages by cursor."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(users, headers, cursor=cursor, **query)
        assert "startIndex" not in page
        assert page["itemsPerPage"] == len(page["Resources"])
        found += names(page)
        cursor = page.get("nextCursor")
    return found


async def test_users_are_sorted_whatever_the_case_of_their_names(users: RunningService, headers: Headers) -> None:
    await make(users, headers, "b", "C", "a", "D")
    assert names(await ask(users, headers, sortBy="userName")) == ["a", "b", "C", "D"]
    down = await ask(users, headers, sortBy="USERNAME", sortOrder="descending", startIndex="2", count="2")
    assert (names(down), down["totalResults"], down["startIndex"]) == (["C", "b"], 4, 2)


async def test_users_without_a_value_come_last_and_first_when_descending(
    users: RunningService, headers: Headers
) -> None:
    await make(users, headers, "none")
    await make(users, headers, "second", title="b", emails=[{"value": "z@x"}, {"value": "b@x", "primary": True}])
    await make(users, headers, "first", title="A", emails=[{"value": "a@x"}, {"value": "c@x"}])
    for sort_by in ("title", "emails", "emails.value", f"{CORE}:title"):
        assert names(await ask(users, headers, sortBy=sort_by)) == ["first", "second", "none"]
        down = await ask(users, headers, sortBy=sort_by, sortOrder="descending")
        assert names(down) == ["none", "second", "first"]


@pytest.mark.parametrize(
    ("query", "scim_type"),
    [
        ({"sortBy": "password"}, "invalidValue"),
        ({"sortBy": "nothing"}, "invalidValue"),
        ({"sortBy": "name"}, "invalidValue"),
        ({"sortBy": ""}, "invalidValue"),
        ({"sortBy": "userName", "sortOrder": "up"}, "invalidValue"),
        ({"startIndex": "x"}, "invalidValue"),
        ({"count": "1.5"}, "invalidValue"),
        ({"count": "x", "cursor": ""}, "invalidCount"),
        ({"cursor": "", "startIndex": "1"}, "invalidValue"),
        ({"cursor": "nonsense"}, "invalidCursor"),
        ({"cursor": "x" * 5000}, "invalidCursor"),
        ({"attributes": "a", "excludedAttributes": "b"}, "invalidValue"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(
    users: RunningService, headers: Headers, query: dict[str, str], scim_type: str
) -> None:
    assert await refused(users, headers, **query) == (400, scim_type)


async def test_a_parameter_that_is_given_twice_is_refused_by_name(users: RunningService, headers: Headers) -> None:
    response = await users.client.get(f"{USERS}?count=1&count=2", headers=headers)
    assert (response.status_code, "count" in (await response.get_json(force=True))["detail"]) == (400, True)


@pytest.mark.parametrize("query", [{}, {"sortBy": "userName"}, {"sortBy": "title"}, {"filter": "userName pr"}])
@pytest.mark.parametrize("count", ["1", "3", "10"])
async def test_cursors_lead_through_the_whole_list(
    users: RunningService, headers: Headers, query: dict[str, str], count: str
) -> None:
    await make(users, headers, "c", "a", "b", title="x")
    await make(users, headers, "e", "d")
    expected = names(await ask(users, headers, **query))
    assert await walk(users, headers, count=count, **query) == expected
    assert len(expected) == 5


async def test_the_first_page_by_cursor_needs_no_value(users: RunningService, headers: Headers) -> None:
    await make(users, headers, "a", "b")
    response = await users.client.get(f"{USERS}?cursor&count=1", headers=headers)
    page = await response.get_json(force=True)
    assert (names(page), page["totalResults"]) == (["a"], 2)
    assert page["nextCursor"].replace("-", "").replace("_", "").isalnum()
    last = await ask(users, headers, cursor=page["nextCursor"], count="1")
    assert (names(last), "nextCursor" in last) == (["b"], False)


async def test_a_filter_by_cursor_is_not_counted_unless_the_number_is_all_that_is_wanted(
    users: RunningService, headers: Headers
) -> None:
    await make(users, headers, "a", "b")
    assert "totalResults" not in await ask(users, headers, cursor="", filter='userName sw "a"')
    none = await ask(users, headers, cursor="", filter='userName sw "a"', count="0")
    assert (none["totalResults"], none["Resources"], "nextCursor" in none) == (1, [], False)


async def test_a_list_that_changes_between_pages_neither_repeats_nor_misses_unchanged_resources(
    users: RunningService, headers: Headers
) -> None:
    for sort in ({}, {"sortBy": "userName"}, {"sortBy": "userName", "sortOrder": "descending"}):
        other = users.tokens.headers(new_tenant(), ["users:read", "users:write"])
        made = {one["userName"]: one for one in await make(users, other, "b", "d", "f", "h", "j")}
        first = await ask(users, other, cursor="", count="2", **sort)
        gone = first["Resources"][-1]
        assert (await users.client.delete(f"{USERS}/{gone['id']}", headers=other)).status_code == 204
        await make(users, other, "a", "e", "k")
        rest = await ask(users, other, cursor=first["nextCursor"], count="100", **sort)
        seen = [*names(first), *names(rest)]
        assert len(seen) == len(set(seen))
        assert made.keys() <= set(seen)


async def test_a_cursor_belongs_to_its_question_and_its_tenant(users: RunningService, headers: Headers) -> None:
    await make(users, headers, "a", "b", "c")
    cursor = (await ask(users, headers, cursor="", count="1"))["nextCursor"]
    stranger = users.tokens.headers(new_tenant(), ["users:read"])
    assert await refused(users, stranger, cursor=cursor, count="1") == (400, "invalidCursor")
    for query in ({"filter": "userName pr"}, {"sortBy": "userName"}, {"sortBy": "id", "sortOrder": "descending"}):
        assert await refused(users, headers, cursor=cursor, **query) == (400, "invalidCursor")


async def test_a_forged_position_is_an_invalid_cursor_and_no_error(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    await make(users, headers, "a")
    context = ["users", tenant, "", "meta.created", "False"]
    key = users.app.extensions[EXTENSION]  # that nobody has; without it no text would be taken for a cursor
    for position in ("some day", "9999-99-99", "a\0b"):
        cursor = encode_cursor((position, "01a20458-d3da-70f4-b50d-2a76abd0b72c"), context, key)
        assert await refused(users, headers, cursor=cursor, sortBy="meta.created") == (400, "invalidCursor")


async def test_a_search_by_post_asks_the_same(users: RunningService, headers: Headers) -> None:
    await make(users, headers, "a", "b", "c", title="x")
    body = {"schemas": [SEARCH], "FILTER": "title pr", "sortBy": "userName", "sortOrder": "descending", "count": 2}
    response = await users.client.post(f"{USERS}/.search", headers=headers, json={**body, "attributes": ["title"]})
    page = await response.get_json(force=True)
    assert (response.status_code, response.content_type) == (200, "application/scim+json")
    assert [set(one) for one in page["Resources"]] == [{"schemas", "id", "title"}] * 2
    assert page["totalResults"] == 3
    first = await users.client.post(f"{USERS}/.search", headers=headers, json={**body, "cursor": ""})
    cursor = (await first.get_json(force=True))["nextCursor"]
    second = await users.client.post(f"{USERS}/.search", headers=headers, json={**body, "cursor": cursor})
    assert names(await second.get_json(force=True)) == ["a"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"schemas":["x"]}', b'{"count":1,"COUNT":2}'])
async def test_a_search_that_is_none_is_refused(users: RunningService, headers: Headers, body: bytes) -> None:
    sent = {**headers, "Content-Type": "application/scim+json"}
    response = await users.client.post(f"{USERS}/.search", headers=sent, data=body)
    assert (response.status_code, (await response.get_json(force=True))["scimType"]) == (400, "invalidSyntax")


@pytest.mark.parametrize(
    "text",
    [
        'emails eq "WORK@example.com"',
        'emails.value eq "work@EXAMPLE.com"',
        'emails[type eq "work"].value eq "work@example.com"',
        'emails[value eq "work@example.com" and type eq "work"]',
        'not (emails.value eq "home@example.com") and emails.value eq "work@example.com"',
    ],
)
async def test_an_address_finds_its_user_also_after_it_was_changed(
    users: RunningService, headers: Headers, text: str
) -> None:
    [user] = await make(users, headers, "a", emails=[{"value": "Work@example.com", "type": "work"}])
    await make(users, headers, "b", emails=[{"value": "home@example.com", "type": "work"}])
    assert names(await ask(users, headers, filter=text)) == ["a"]
    changed = {"schemas": [CORE], "userName": "a", "emails": [{"value": "new@example.com", "type": "work"}]}
    await users.client.put(f"{USERS}/{user['id']}", headers=headers, json=changed)
    assert names(await ask(users, headers, filter=text)) == []
    assert names(await ask(users, headers, filter=text.replace("ork@", "new@").replace("w" + "new", "new"))) in (
        [],
        ["a"],
    )
    assert names(await ask(users, headers, filter='emails.value eq "NEW@example.com"')) == ["a"]
    await users.client.delete(f"{USERS}/{user['id']}", headers=headers)
    async with users.container.database.connection() as connection:
        left = await connection.fetch("SELECT address FROM user_emails WHERE user_id::text = $1", user["id"])
    assert left == []


async def test_an_address_of_any_length_is_found_exactly(users: RunningService, headers: Headers) -> None:
    long = "x" * 3000 + "@example.com"
    await make(users, headers, "a", emails=[{"value": long}, {"value": long + "m"}])
    await make(users, headers, "b", emails=[{"value": long + "b"}])
    assert names(await ask(users, headers, filter=f'emails.value eq "{long.upper()}"')) == ["a"]


async def test_a_query_that_is_too_slow_is_refused_and_the_connection_goes_on(
    users: RunningService, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(users, headers, "a")
    limits = []

    async def slow(connection: Any, *given: Any) -> Any:
        limit = given[-2]
        limits.append(limit)
        return await connection.fetch("SELECT pg_sleep(30)", timeout=0.1)

    with monkeypatch.context() as patch:
        patch.setattr(user_source, "select_page", slow)
        for query in ({"filter": 'userName co "x"'}, {"filter": "title pr", "cursor": ""}, {"sortBy": "title"}):
            assert await refused(users, headers, **query) == (400, "tooMany")
    assert limits == [users.container.config.query_timeout] * 3
    for _ in range(12):
        assert names(await ask(users, headers, filter='userName eq "a"')) == ["a"]


async def count(database: Database, tenant: str) -> tuple[int, int]:
    """The total as it is kept, and as it is counted."""
    async with database.connection() as connection:
        kept = await list_store.count_all(connection, tenant, UserSource.place)
        counted = await connection.fetchval("SELECT count(*) FROM users WHERE tenant_id = $1", tenant)
    return kept, counted


async def test_the_total_is_right_after_racing_writers_and_what_they_take_back(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    database, clock = users.container.database, users.container.clock

    async def write(number: int) -> None:
        made: list[User] = []
        for turn in range(6):
            try:
                async with database.transaction() as connection:
                    user, _ = create(new_id(), {"userName": f"u{number}-{turn}"}, clock())
                    await user_store.insert_user(connection, tenant, user)
                    if turn % 3 == 1:
                        raise LookupError("taken back")
                    made.append(user)
            except LookupError:
                continue
        async with database.transaction() as connection:
            await session_store.delete_user(connection, tenant, made[0].id)

    await asyncio.gather(*(write(number) for number in range(16)))
    assert await count(database, tenant) == (48, 48)
    assert (await ask(users, headers, count="0"))["totalResults"] == 48
    async with database.connection() as connection:
        slots = await connection.fetchval("SELECT count(*) FROM user_totals WHERE tenant_id = $1", tenant)
    assert slots > 1


async def test_many_users_in_one_statement_are_counted_and_those_of_others_are_not(
    users: RunningService, tenant: str
) -> None:
    other = new_tenant()
    async with users.container.database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO users (tenant_id, id, user_name_key, version, created_at, modified_at, resource)
            SELECT CASE WHEN n % 3 = 0 THEN $1 ELSE $2 END, gen_random_uuid(), 'n' || n, 1, now(), now(), $3
            FROM generate_series(1, 300) AS n
            """,
            other,
            tenant,
            json.dumps({"userName": "n", "emails": [{"value": "A@x"}, {"value": "a@X"}, {"type": "work"}]}),
        )
        addresses = await connection.fetch("SELECT DISTINCT address FROM user_emails WHERE tenant_id = $1", tenant)
        await connection.execute("DELETE FROM users WHERE tenant_id = $1", other)
    assert [one["address"] for one in addresses] == ["a@x"]
    assert await count(users.container.database, tenant) == (200, 200)
    assert await count(users.container.database, other) == (0, 0)


@pytest.mark.parametrize("index", ["users_pkey", "users_user_name", "user_emails_pkey", "users_modified"])
async def test_what_is_asked_most_is_answered_by_an_index(users: RunningService, tenant: str, index: str) -> None:
    from quartet_common.core.identifiers import new_id

    queries = {
        "users_pkey": [Query(Page(1, 9))],
        "users_user_name": [
            Query(Page(1, 9), 'userName eq "a"'),
            Query(Page(1, 9), 'userName sw "a"'),
            Query(Page(1, 9), sort_by="userName", descending=True),
        ],
        "user_emails_pkey": [Query(Page(1, 9), 'emails[type eq "work"].value eq "a@x"')],
        "users_modified": [Query(Page(1, 9), 'meta.lastModified gt "2026-01-31T00:00:00Z"')],
    }[index]
    compiled = CompiledType.of(user_resource_type())
    async with users.container.database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        if index != "users_pkey":
            await connection.execute("SET LOCAL enable_sort = on")
        for query in queries:
            after = Position("a", new_id()) if query.filter is None else None
            page = page_sql(select(query, compiled), UserSource.place, limit=10, after=after)
            text = f"EXPLAIN {list_store.page_query(UserSource.place, page, columns(None))}"
            plan = "\n".join(line[0] for line in await connection.fetch(text, tenant, *page.parameters, 2**22))
            assert index in plan or (query.filter and "Index Scan" in plan), plan
