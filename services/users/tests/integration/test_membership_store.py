"""The groups of users: what group events make of them, on the real PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import dispatch
from quartet_testing.group_events import GroupEvents
from quartet_testing.services import RunningService
from quartet_users.subscriptions import subscriptions

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

Headers = dict[str, str]
Document = dict[str, Any]


@pytest.fixture
def events(tenant: str) -> GroupEvents:
    """Events of the tenant's groups."""
    return GroupEvents(tenant)


async def receive(users: RunningService, events: Sequence[Event]) -> None:
    async with users.container.database.transaction() as connection:
        await dispatch(connection, subscriptions(users.container), events)


async def create(users: RunningService, headers: Headers, name: str = "babs") -> UUID:
    response = await users.client.post("/scim/v2/Users", headers=headers, json={"schemas": [CORE], "userName": name})
    assert response.status_code == 201
    return UUID((await response.get_json(force=True))["id"])


async def read(users: RunningService, headers: Headers, user: UUID, query: str = "") -> Document:
    response = await users.client.get(f"/scim/v2/Users/{user}{query}", headers=headers)
    found: Document = await response.get_json(force=True)
    return found


async def belongs(users: RunningService, headers: Headers, user: UUID) -> dict[UUID, str]:
    groups = (await read(users, headers, user)).get("groups", [])
    found = {UUID(group["value"]): group["type"] for group in groups}
    assert len(found) == len(groups)
    return found


async def find(users: RunningService, headers: Headers, text: str) -> set[UUID]:
    response = await users.client.get("/scim/v2/Users", headers=headers, query_string={"filter": text})
    assert response.status_code == 200, await response.get_data()
    return {UUID(one["id"]) for one in (await response.get_json(force=True))["Resources"]}


async def test_a_group_shows_on_its_user_with_address_name_and_type(
    users: RunningService, headers: Headers, events: GroupEvents
) -> None:
    user, group = await create(users, headers), new_id()
    assert "groups" not in await read(users, headers, user)
    await receive(users, [events.created(group), events.users("added", group, 1, user)])
    url = f"{users.container.config.issuer}/scim/v2/Groups/{group}"
    expected = [{"value": str(group), "$ref": url, "display": 'Tour "Guides"', "type": "direct"}]
    assert (await read(users, headers, user))["groups"] == [{**expected[0], "display": "Guides 1"}]
    await receive(users, [events.updated(group, 2, 'Tour "Guides"')])
    assert (await read(users, headers, user))["groups"] == expected
    await receive(users, [events.users("removed", group, 3, user)])
    assert "groups" not in await read(users, headers, user)


async def test_every_answer_that_shows_the_user_has_them_and_none_counts_as_a_change(
    users: RunningService, headers: Headers, events: GroupEvents
) -> None:
    user, group = await create(users, headers), new_id()
    before = (await read(users, headers, user))["meta"]
    await receive(users, [events.users("added", group, 1, user)])
    shown = await read(users, headers, user)
    assert shown["meta"] == before
    listed = await (await users.client.get("/scim/v2/Users", headers=headers)).get_json(force=True)
    assert listed["Resources"] == [shown]
    body = {"schemas": [CORE], "userName": "babs", "groups": [{"value": str(new_id())}]}
    put = await users.client.put(f"/scim/v2/Users/{user}", headers=headers, json=body)
    assert await put.get_json(force=True) == shown
    operations = [{"op": "replace", "path": "displayName", "value": "Babs"}]
    changed = await users.client.patch(
        f"/scim/v2/Users/{user}", headers=headers, json={"schemas": [PATCH], "Operations": operations}
    )
    assert (await changed.get_json(force=True))["groups"] == shown["groups"]


async def test_groups_are_shown_only_where_they_are_wanted(
    users: RunningService, headers: Headers, events: GroupEvents
) -> None:
    user, group = await create(users, headers), new_id()
    await receive(users, [events.users("added", group, 1, user)])
    assert "groups" not in await read(users, headers, user, "?excludedAttributes=groups")
    assert "groups" not in await read(users, headers, user, "?attributes=userName")
    assert (await read(users, headers, user, "?attributes=groups.value"))["groups"] == [{"value": str(group)}]


async def test_who_is_in_a_group_is_in_all_that_are_above_it(
    users: RunningService, headers: Headers, events: GroupEvents
) -> None:
    user = await create(users, headers)
    guides, staff, everybody, park = (new_id() for _ in range(4))
    nested = [events.groups("added", staff, 2, guides), events.groups("added", everybody, 2, staff, park)]
    await receive(users, [events.created(park), events.users("added", guides, 1, user), *nested])
    assert await belongs(users, headers, user) == {guides: "direct", staff: "indirect", everybody: "indirect"}
    await receive(users, [events.users("added", everybody, 3, user), events.users("added", park, 2, user)])
    assert await belongs(users, headers, user) == {
        guides: "direct", staff: "indirect", everybody: "direct", park: "direct",
    }  # fmt: skip
    await receive(users, [events.groups("removed", staff, 3, guides), events.users("removed", everybody, 4, user)])
    assert await belongs(users, headers, user) == {guides: "direct", park: "direct", everybody: "indirect"}


async def test_two_ways_to_one_group_show_it_once(users: RunningService, headers: Headers, events: GroupEvents) -> None:
    user = await create(users, headers)
    left, right, top = (new_id() for _ in range(3))
    await receive(users, [events.users("added", one, 1, user) for one in (left, right)])
    await receive(users, [events.groups("added", top, 1, left, right)])
    assert await belongs(users, headers, user) == {left: "direct", right: "direct", top: "indirect"}
    await receive(users, [events.groups("removed", top, 2, left)])
    assert (await belongs(users, headers, user))[top] == "indirect"


async def test_a_deleted_group_is_gone_and_stays_so_whatever_is_published_late(
    users: RunningService, headers: Headers, events: GroupEvents, tenant: str
) -> None:
    user, below, middle, above = await create(users, headers), new_id(), new_id(), new_id()
    joined = events.users("added", middle, 1, user)
    nested = [events.groups("added", middle, 2, below), events.groups("added", above, 2, middle)]
    await receive(users, [joined, events.users("added", below, 1, user), *nested])
    assert set(await belongs(users, headers, user)) == {below, middle, above}
    await receive(users, [events.deleted(middle, 3)])
    assert set(await belongs(users, headers, user)) == {below}
    await receive(users, [joined, *nested, events.updated(middle, 9), events.users("added", middle, 9, user)])
    assert set(await belongs(users, headers, user)) == {below}
    async with users.container.database.connection() as connection:
        for table, column in (("memberships", "group_id"), ("nestings", "child_id"), ("nestings", "parent_id")):
            query = f"SELECT count(*) FROM {table} WHERE tenant_id = $1 AND {column} = $2"
            assert await connection.fetchval(query, tenant, middle) == 0


async def test_a_deleted_user_leaves_no_rows_and_later_news_of_it_make_none(
    users: RunningService, headers: Headers, events: GroupEvents, tenant: str
) -> None:
    user, group = await create(users, headers), new_id()
    await receive(users, [events.users("added", group, 1, user)])
    assert (await users.client.delete(f"/scim/v2/Users/{user}", headers=headers)).status_code == 204
    await receive(users, [events.users("added", group, 2, user, new_id()), events.users("removed", group, 3, user)])
    async with users.container.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM memberships WHERE tenant_id = $1", tenant) == 0


async def test_users_are_found_by_their_groups(users: RunningService, headers: Headers, events: GroupEvents) -> None:
    guide, cook, guest = [await create(users, headers, name) for name in ("guide", "cook", "guest")]
    guides, kitchen, staff = (new_id() for _ in range(3))
    await receive(users, [events.users("added", guides, 1, guide, name="Guides")])
    await receive(users, [events.users("added", kitchen, 1, cook, name="Kitchen")])
    await receive(users, [events.groups("added", staff, 1, guides, kitchen, name="Staff")])
    assert await find(users, headers, f'groups.value eq "{guides}"') == {guide}
    assert await find(users, headers, f'groups eq "{staff}"') == {guide, cook}
    assert await find(users, headers, 'groups.display eq "KITCHEN"') == {cook}
    assert await find(users, headers, 'groups[display eq "staff" and type eq "indirect"]') == {guide, cook}
    assert await find(users, headers, 'groups[display eq "staff" and type eq "direct"]') == set()
    assert await find(users, headers, "groups pr") == {guide, cook}
    assert await find(users, headers, "not (groups pr)") == {guest}
    assert await find(users, headers, f'groups.value eq "{new_id()}"') == set()


async def test_another_tenants_groups_do_not_show(users: RunningService, headers: Headers, events: GroupEvents) -> None:
    user, group = await create(users, headers), new_id()
    await receive(users, [events.users("added", group, 1, user)])
    await receive(users, [GroupEvents("somebody-else").users("added", new_id(), 1, user)])
    await receive(users, [GroupEvents("somebody-else").users("removed", group, 9, user)])
    assert set(await belongs(users, headers, user)) == {group}


async def test_nesting_a_large_group_writes_one_edge_and_nothing_of_its_users(
    users: RunningService, headers: Headers, events: GroupEvents, tenant: str
) -> None:
    people = [await create(users, headers, f"u{number}") for number in range(30)]
    guides, staff, everybody = (new_id() for _ in range(3))
    await receive(users, [events.users("added", guides, 1, *people), events.groups("added", everybody, 1, staff)])
    query = "SELECT max(xmin::text::bigint), count(*) FROM memberships WHERE tenant_id = $1"
    of_users = "SELECT max(xmin::text::bigint), max(xmax::text::bigint) FROM users WHERE tenant_id = $1"
    async with users.container.database.connection() as connection:
        before = [await connection.fetchrow(one, tenant) for one in (query, of_users)]
        await receive(users, [events.groups("added", staff, 1, guides)])
        assert [await connection.fetchrow(one, tenant) for one in (query, of_users)] == before
        counts = [
            await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant)
            for table in ("nestings", "ancestors")
        ]
    assert counts == [2, 3]
    assert set(await belongs(users, headers, people[7])) == {guides, staff, everybody}
