"""PATCH of groups over HTTP: members by rows, in the shapes that clients send."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import new_id
from quartet_testing.services import RunningService, new_tenant

CORE = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

Headers = dict[str, str]


async def make(groups: RunningService, headers: Headers, *members: UUID) -> str:
    body = {"schemas": [CORE], "displayName": "Guides", "members": [{"value": str(one)} for one in members]}
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=body)
    assert response.status_code == 201
    return str((await response.get_json(force=True))["id"])


async def patch(groups: RunningService, headers: Headers, group: str, *operations: Any, query: str = "") -> Any:
    body = {"schemas": [PATCH], "Operations": list(operations)}
    return await groups.client.patch(f"/scim/v2/Groups/{group}{query}", headers=headers, json=body)


async def members(groups: RunningService, headers: Headers, group: str) -> set[UUID]:
    read = await groups.client.get(f"/scim/v2/Groups/{group}", headers=headers)
    return {UUID(one["value"]) for one in (await read.get_json(force=True)).get("members", [])}


def add(*ids: UUID, op: str = "add") -> dict[str, Any]:
    return {"op": op, "path": "members", "value": [{"value": str(one)} for one in ids]}


async def test_members_come_and_go_and_the_answer_shows_few_of_them(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    one, two, three = (directory.add(tenant) for _ in range(3))
    group = await make(groups, headers, one)
    response = await patch(
        groups, headers, group, add(two, three), {"op": "remove", "path": f'members[value eq "{one}"]'}
    )
    assert response.status_code == 200
    shown = await response.get_json(force=True)
    assert {UUID(member["value"]) for member in shown["members"]} == {two, three}
    assert shown["meta"]["version"] == 'W/"2"'
    assert await members(groups, headers, group) == {two, three}
    published = (await groups.outbox(tenant))[2:]
    assert [event.routing_key for event in published] == ["groups.membership.added.v1", "groups.membership.removed.v1"]


async def test_the_answer_to_a_patch_of_a_large_group_leaves_members_out(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    users = [directory.add(tenant, f"u{number}") for number in range(101)]
    group = await make(groups, headers, *users[:100])
    response = await patch(groups, headers, group, add(users[0]))
    assert len((await response.get_json(force=True))["members"]) == 100
    response = await patch(groups, headers, group, add(users[100]))
    assert "members" not in await response.get_json(force=True)


async def test_who_asks_for_members_gets_them(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    one = directory.add(tenant)
    group = await make(groups, headers)
    response = await patch(groups, headers, group, add(one), query="?attributes=members")
    assert [found["value"] for found in (await response.get_json(force=True))["members"]] == [str(one)]
    without = await groups.client.get(f"/scim/v2/Groups/{group}?excludedAttributes=members", headers=headers)
    assert "members" not in await without.get_json(force=True)


@pytest.mark.parametrize(
    "shape", ["Entra ID value list", "Okta filter", "path-less", "replace", "clear", "object in a remove"]
)
async def test_the_shapes_that_clients_send_are_understood(
    groups: RunningService, headers: Headers, tenant: str, directory: Any, shape: str
) -> None:
    one, two = directory.add(tenant), directory.add(tenant)
    group = await make(groups, headers, one)
    operation, expected = {
        "Entra ID value list": ({"op": "Remove", "path": "members", "value": [{"value": str(one)}]}, set()),
        "Okta filter": ({"op": "remove", "path": f'members[value eq "{one}"]'}, set()),
        "path-less": ({"op": "add", "value": {"members": [{"value": str(two)}]}}, {one, two}),
        "replace": (add(two, op="replace"), {two}),
        "clear": ({"op": "remove", "path": "members"}, set()),
        "object in a remove": (
            {"op": "remove", "path": "members", "value": {"members": [{"value": str(one)}]}},
            set(),
        ),
    }[shape]
    response = await patch(groups, headers, group, operation)
    assert response.status_code == 200, await response.get_data()
    assert await members(groups, headers, group) == expected


MALFORMED: list[Any] = ["", [""], [None], [{"value": ""}], 0]


@pytest.mark.parametrize("value", MALFORMED)
async def test_malformed_members_are_refused_and_empty_no_group(
    groups: RunningService, headers: Headers, tenant: str, directory: Any, value: Any
) -> None:
    one = directory.add(tenant)
    group = await make(groups, headers, one)
    answers = [
        await patch(groups, headers, group, {"op": "replace", "path": "members", "value": value}),
        await patch(groups, headers, group, {"op": "replace", "value": {"members": value}}),
        await patch(groups, headers, group, {"op": "remove", "path": "members", "value": value or None}),
        await groups.client.put(
            f"/scim/v2/Groups/{group}",
            headers=headers,
            json={"schemas": [CORE], "displayName": "Guides", "members": value},
        ),
    ]
    for answer in answers:
        assert (answer.status_code, (await answer.get_json(force=True))["scimType"]) == (400, "invalidValue")
    assert await members(groups, headers, group) == {one}


async def test_a_resource_says_where_it_is(groups: RunningService, headers: Headers) -> None:
    group = await make(groups, headers)
    address = f"/scim/v2/Groups/{group}"
    rename = {"op": "replace", "path": "displayName", "value": "Other"}
    for answer in (
        await groups.client.get(address, headers=headers),
        await groups.client.put(address, headers=headers, json={"schemas": [CORE], "displayName": "New"}),
        await patch(groups, headers, group, rename),
        await patch(groups, headers, group, rename),
    ):
        location = (await answer.get_json(force=True))["meta"]["location"]
        assert answer.headers["Location"] == location
        assert location.endswith(address)


async def test_adding_a_member_or_removing_a_stranger_is_no_error_and_no_change(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    one = directory.add(tenant)
    group = await make(groups, headers, one)
    before = len(await groups.outbox(tenant))
    stranger = {"op": "remove", "path": f'members[value eq "{new_id()}"]'}
    response = await patch(groups, headers, group, add(one), stranger)
    assert (await response.get_json(force=True))["meta"]["version"] == 'W/"1"'
    assert len(await groups.outbox(tenant)) == before


async def test_an_unknown_member_undoes_all_of_it(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    one = directory.add(tenant)
    group = await make(groups, headers)
    rename = {"op": "replace", "path": "displayName", "value": "Other"}
    response = await patch(groups, headers, group, rename, add(one, new_id()))
    assert response.status_code == 400
    assert await members(groups, headers, group) == set()
    read = await groups.client.get(f"/scim/v2/Groups/{group}", headers=headers)
    assert (await read.get_json(force=True))["displayName"] == "Guides"


async def test_members_that_are_added_at_once_are_all_there(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    users = [directory.add(tenant) for _ in range(10)]
    group = await make(groups, headers)
    answers = await asyncio.gather(*(patch(groups, headers, group, add(one)) for one in users))
    assert {answer.status_code for answer in answers} == {200}
    assert await members(groups, headers, group) == set(users)


async def test_a_rename_takes_effect_with_the_id_in_the_value_as_entra_id_sends_it(
    groups: RunningService, headers: Headers, directory: Any
) -> None:
    group = await make(groups, headers)
    response = await patch(groups, headers, group, {"op": "Replace", "value": {"id": group, "displayName": "New"}})
    assert (await response.get_json(force=True))["displayName"] == "New"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('displayName sw "gui" and members pr', 1),
        ('not (members.value eq "{user}")', 0),
        ('members[value eq "{user}" and type eq "User"]', 1),
        ('meta.created lt "2020-01-01T00:00:00Z"', 0),
    ],
)
async def test_groups_are_found_by_filters(
    groups: RunningService, headers: Headers, tenant: str, directory: Any, text: str, found: int
) -> None:
    user = directory.add(tenant)
    await make(groups, headers, user)
    asked = {"filter": text.format(user=user)}
    response = await groups.client.get("/scim/v2/Groups", headers=headers, query_string=asked)
    body = await response.get_json(force=True)
    assert (response.status_code, body.get("totalResults")) == (200, found), body


async def test_another_tenants_group_cannot_be_patched(
    groups: RunningService, headers: Headers, directory: Any
) -> None:
    group = await make(groups, headers)
    stranger = groups.tokens.headers(new_tenant(), ["groups:write"])
    response = await patch(groups, stranger, group, {"op": "replace", "path": "displayName", "value": "Mine"})
    assert response.status_code == 404
