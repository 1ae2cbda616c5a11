"""Lists and searches of groups over HTTP: orders, cursors, totals; on the real PostgreSQL."""

import asyncio
from typing import Any

import pytest

from quartet_common.core.identifiers import new_id
from quartet_groups import group_source, group_store
from quartet_groups.group_domain import create
from quartet_groups.group_source import GroupSource
from quartet_groups.member_domain import Members
from quartet_scim.compiled_type import CompiledType
from quartet_scim.page_sql import Position, page_sql, select
from quartet_scim.paging import Page
from quartet_scim.query import Query
from quartet_scim.schema import group_resource_type
from quartet_scim_http import list_store, searching
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

CORE = "urn:ietf:params:scim:schemas:core:2.0:Group"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
GROUPS = "/scim/v2/Groups"

Headers = dict[str, str]
Document = dict[str, Any]


async def make(groups: RunningService, headers: Headers, *names: str, **attributes: Any) -> None:
    for name in names:
        body = {"schemas": [CORE], "displayName": name, **attributes}
        assert (await groups.client.post(GROUPS, headers=headers, json=body)).status_code == 201


async def ask(groups: RunningService, headers: Headers, **query: str) -> Document:
    response = await groups.client.get(GROUPS, headers=headers, query_string=query)
    body: Document = await response.get_json(force=True)
    assert response.status_code == 200, body
    return body


def names(page: Document) -> list[str]:
    return [one["displayName"] for one in page["Resources"]]


@pytest.mark.parametrize("sort", [{}, {"sortBy": "displayName"}, {"sortBy": "externalId", "sortOrder": "descending"}])
async def test_pages_by_index_and_by_cursor_hold_the_same(
    groups: RunningService, headers: Headers, tenant: str, directory: Any, sort: dict[str, str]
) -> None:
    user = directory.add(tenant)
    await make(groups, headers, "d", "B", "a", members=[{"value": str(user)}])
    await make(groups, headers, "C", externalId="c")
    await make(groups, headers, "E", externalId="B")
    whole = await ask(groups, headers, **sort)
    assert len(whole["Resources"]) == whole["totalResults"] == 5
    if sort == {"sortBy": "displayName"}:
        assert names(whole) == ["a", "B", "C", "d", "E"]
    second = await ask(groups, headers, startIndex="2", count="2", **sort)
    assert second["Resources"] == whole["Resources"][1:3]
    seen: list[Document] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(groups, headers, cursor=cursor, count="2", **sort)
        assert page["totalResults"] == 5
        seen += page["Resources"]
        cursor = page.get("nextCursor")
    assert seen == whole["Resources"]


async def test_a_search_by_post_filters_sorts_and_leaves_members_out(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    user = directory.add(tenant)
    await make(groups, headers, "b", "a", members=[{"value": str(user)}])
    await make(groups, headers, "c")
    body = {"schemas": [SEARCH], "filter": f'members.value eq "{user}"', "sortBy": "displayName", "count": 1}
    response = await groups.client.post(
        f"{GROUPS}/.search", headers=headers, json={**body, "excludedAttributes": ["members"]}
    )
    page = await response.get_json(force=True)
    assert (names(page), page["totalResults"], "members" in page["Resources"][0]) == (["a"], 2, False)
    onward = await groups.client.post(f"{GROUPS}/.search", headers=headers, json={**body, "cursor": ""})
    first = await onward.get_json(force=True)
    assert first["Resources"][0]["members"][0]["value"] == str(user)
    last = await groups.client.post(f"{GROUPS}/.search", headers=headers, json={**body, "cursor": first["nextCursor"]})
    assert names(await last.get_json(force=True)) == ["b"]


async def test_a_list_shows_the_members_of_a_large_group_only_if_they_are_asked_for(
    groups: RunningService, headers: Headers, tenant: str, directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_source, "MAX_LISTED", 2)
    users = [{"value": str(directory.add(tenant))} for _ in range(3)]
    await make(groups, headers, "large", members=users)
    await make(groups, headers, "small", members=users[:2])
    for query in ({}, {"filter": "displayName pr"}, {"excludedAttributes": "externalId"}):
        page = await ask(groups, headers, sortBy="displayName", **query)
        assert [len(one.get("members", ())) for one in page["Resources"]] == [0, 2]
    asked = await ask(groups, headers, sortBy="displayName", attributes="members.value")
    assert [len(one["members"]) for one in asked["Resources"]] == [3, 2]


@pytest.mark.parametrize("query", [{}, {"attributes": "members"}, {"filter": "displayName pr"}])
async def test_a_page_ends_at_its_bytes_members_included_and_every_group_is_on_one_page(
    groups: RunningService,
    headers: Headers,
    tenant: str,
    directory: Any,
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, str],
) -> None:
    monkeypatch.setattr(searching, "PAGE_BYTES", 2_000)
    users = [{"value": str(directory.add(tenant))} for _ in range(5)]
    await make(groups, headers, *(f"group{number}" for number in range(7)), members=users)
    by_index: list[str] = []
    while len(by_index) < 7:
        page = await ask(groups, headers, startIndex=str(len(by_index) + 1), **query)
        assert page["itemsPerPage"] == len(page["Resources"]) in (1, 2, 3)
        assert page["totalResults"] == 7
        by_index += [one["id"] for one in page["Resources"]]
    by_cursor: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(groups, headers, cursor=cursor, **query)
        by_cursor += [one["id"] for one in page["Resources"]]
        cursor = page.get("nextCursor")
    assert len(set(by_index)) == 7
    assert by_cursor == by_index


async def test_a_page_whose_members_take_too_long_is_too_much(
    groups: RunningService, headers: Headers, tenant: str, directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(group_source, "select_page", slow)
    response = await groups.client.get(GROUPS, headers=headers, query_string={"attributes": "members"})
    assert response.status_code == 400
    assert (await response.get_json(force=True))["scimType"] == "tooMany"


@pytest.mark.parametrize("digits", [9, 10, 400])
async def test_an_instant_of_many_digits_in_a_filter_is_never_an_error_of_ours(
    groups: RunningService, headers: Headers, digits: int
) -> None:
    query = {"filter": f'meta.created gt "2020-01-01T00:00:00.{"1" * digits}Z"'}
    response = await groups.client.get(GROUPS, headers=headers, query_string=query)
    assert response.status_code == (200 if digits == 9 else 400)
    assert digits == 9 or (await response.get_json(force=True))["scimType"] == "invalidFilter"


@pytest.mark.parametrize("query", [{"sortBy": "members"}, {"sortBy": "userName"}, {"cursor": "x"}, {"count": "x"}])
async def test_a_query_that_makes_no_sense_is_refused(
    groups: RunningService, headers: Headers, query: dict[str, str]
) -> None:
    response = await groups.client.get(GROUPS, headers=headers, query_string=query)
    assert response.status_code == 400
    assert (await response.get_json(force=True))["scimType"] in ("invalidValue", "invalidCursor")


async def test_only_services_search_groups_among_others(groups: RunningService, headers: Headers, tenant: str) -> None:
    await make(groups, headers, "b", "a")
    body = {"schemas": [SEARCH], "filter": 'userName eq "x" or displayName pr', "sortBy": "userName", "count": 900}
    assert (await groups.client.post("/groups/search", headers=headers, json=body)).status_code == 403
    service = {**groups.tokens.headers("*", ["service"]), "Quartet-Tenant": tenant}
    response = await groups.client.post("/groups/search", headers=service, json=body)
    assert names(await response.get_json(force=True)) == ["b", "a"]


async def test_the_total_is_right_after_racing_writers_and_what_they_take_back(
    groups: RunningService, headers: Headers, tenant: str
) -> None:
    database, clock = groups.container.database, groups.container.clock

    async def write(number: int) -> None:
        for turn in range(4):
            group, _ = create(new_id(), {"displayName": f"g{number}-{turn}"}, Members(), clock())
            try:
                async with database.transaction() as connection:
                    await group_store.insert_group(connection, tenant, group)
                    if turn == 1:
                        raise LookupError("taken back")
            except LookupError:
                continue
        async with database.transaction() as connection:
            await group_store.delete_group(connection, tenant, group.id)

    await asyncio.gather(*(write(number) for number in range(12)))
    async with database.connection() as connection:
        counted = await connection.fetchval("SELECT count(*) FROM groups WHERE tenant_id = $1", tenant)
    assert (await ask(groups, headers, count="0"))["totalResults"] == counted == 24
    stranger = groups.tokens.headers(new_tenant(), ["groups:read"])
    assert (await ask(groups, stranger))["totalResults"] == 0


@pytest.mark.parametrize("text", ['displayName eq "Guides"', 'displayName sw "gui"', None])
async def test_names_are_answered_by_their_index(groups: RunningService, tenant: str, text: str | None) -> None:
    query = Query(Page(1, 9), text, None if text else "displayName")
    after = None if text else Position("guides", new_id())
    page = page_sql(select(query, CompiledType.of(group_resource_type())), GroupSource.place, limit=10, after=after)
    async with groups.container.database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        await connection.execute("SET LOCAL random_page_cost = 0.1")
        columns = f"{group_store.TEXTS}, {group_store.NO_MEMBERS}"
        explain = f"EXPLAIN {list_store.page_query(GroupSource.place, page, columns)}"
        plan = "\n".join(line[0] for line in await connection.fetch(explain, tenant, *page.parameters, 2**22))
    assert "groups_display_name" in plan, plan


async def test_a_search_without_an_index_waits_while_the_tenant_uses_its_share_of_them(
    groups: RunningService, headers: Headers, tenant: str
) -> None:
    await make(groups, headers, "staff")
    searches = groups.container.searches
    async with searches.hold(tenant, searches.share):
        waiting = asyncio.create_task(ask(groups, headers, filter='displayName co "staff"'))

        async def waits() -> bool:
            return searches.waiting == 1

        await eventually(waits, "the search waits")
        assert names(await ask(groups, headers, filter='displayName eq "staff"')) == ["staff"]
    assert names(await waiting) == ["staff"]
