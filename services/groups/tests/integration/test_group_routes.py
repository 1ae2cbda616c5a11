"""SCIM Groups over HTTP, on the real PostgreSQL."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from quartet_common.core.identifiers import new_id
from quartet_testing.services import RunningService, new_tenant

CORE = "urn:ietf:params:scim:schemas:core:2.0:Group"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"

Headers = dict[str, str]


def a_group(*members: UUID, name: str = "Tour Guides", **more: Any) -> dict[str, Any]:
    return {"schemas": [CORE], "displayName": name, "members": [{"value": str(one)} for one in members], **more}


async def create(groups: RunningService, headers: Headers, *members: UUID, **more: Any) -> dict[str, Any]:
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=a_group(*members, **more))
    assert response.status_code == 201, await response.get_data()
    made: dict[str, Any] = await response.get_json(force=True)
    return made


def member_ids(group: dict[str, Any]) -> set[UUID]:
    return {UUID(member["value"]) for member in group.get("members", [])}


async def kinds(groups: RunningService, tenant: str) -> list[str]:
    return [event.type.removeprefix("quartet.groups.") for event in await groups.outbox(tenant)]


async def test_a_created_group_shows_its_members(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    user = directory.add(tenant, "Babs")
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=a_group(user, externalId="e-1"))
    assert response.status_code == 201
    assert response.content_type == "application/scim+json"
    made = await response.get_json(force=True)
    assert (made["displayName"], made["externalId"]) == ("Tour Guides", "e-1")
    reference = f"{groups.container.config.issuer}/scim/v2/Users/{user}"
    assert made["members"] == [{"value": str(user), "$ref": reference, "type": "User", "display": "Babs"}]
    assert made["meta"]["location"] == response.headers["Location"]
    assert response.headers["ETag"] == made["meta"]["version"] == 'W/"1"'
    read = await groups.client.get(f"/scim/v2/Groups/{made['id']}", headers=headers)
    assert await read.get_json(force=True) == made
    assert await kinds(groups, tenant) == ["group.created.v1", "membership.added.v1"]


async def test_a_group_without_members_shows_none(groups: RunningService, headers: Headers, directory: Any) -> None:
    made = await create(groups, headers)
    assert "members" not in made
    assert directory.asked == 0


async def test_a_member_that_is_known_is_not_asked_for_again(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    user = directory.add(tenant)
    await create(groups, headers, user)
    await create(groups, headers, user)
    assert directory.asked == 1


async def test_unknown_members_are_refused_by_name_and_nothing_is_stored(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    known, unknown = directory.add(tenant), new_id()
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=a_group(known, unknown))
    body = await response.get_json(force=True)
    assert (response.status_code, body["scimType"]) == (400, "invalidValue")
    assert str(unknown) in body["detail"]
    assert str(known) not in body["detail"]
    assert await groups.outbox(tenant) == []


async def test_a_user_of_another_tenant_is_unknown(groups: RunningService, headers: Headers, directory: Any) -> None:
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=a_group(directory.add(new_tenant())))
    assert response.status_code == 400


async def test_when_users_is_away_unknown_members_are_503_and_known_ones_work(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    known, unheard = directory.add(tenant), directory.add(tenant)
    await create(groups, headers, known)
    directory.away = True
    await create(groups, headers, known)
    response = await groups.client.post("/scim/v2/Groups", headers=headers, json=a_group(unheard))
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert (await response.get_json(force=True))["schemas"] == [ERROR]


async def test_a_replacement_adds_and_removes_members(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    stays, goes, comes = (directory.add(tenant) for _ in range(3))
    made = await create(groups, headers, stays, goes)
    address = f"/scim/v2/Groups/{made['id']}"
    response = await groups.client.put(address, headers=headers, json=a_group(stays, comes, name="Guides"))
    changed = await response.get_json(force=True)
    assert response.status_code == 200
    assert member_ids(changed) == {stays, comes}
    assert changed["meta"]["version"] == 'W/"2"'
    published = await groups.outbox(tenant)
    assert [event.routing_key for event in published[2:]] == [
        "groups.group.updated.v1", "groups.membership.added.v1", "groups.membership.removed.v1"
    ]  # fmt: skip
    assert published[3].data["members"] == [{"value": str(comes), "type": "User"}]
    assert published[4].data["members"] == [{"value": str(goes), "type": "User"}]


async def test_a_replacement_that_changes_nothing_leaves_the_version_and_publishes_nothing(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    made = await create(groups, headers, directory.add(tenant), directory.add(tenant))
    response = await groups.client.put(f"/scim/v2/Groups/{made['id']}", headers=headers, json=made)
    assert await response.get_json(force=True) == made
    assert len(await groups.outbox(tenant)) == 2


async def test_replacements_that_race_leave_what_one_of_them_sent(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    users = [directory.add(tenant) for _ in range(6)]
    made = await create(groups, headers)
    address = f"/scim/v2/Groups/{made['id']}"
    choices = [users[:3], users[3:], users[1:4], users[::2]]
    answers = await asyncio.gather(
        *(groups.client.put(address, headers=headers, json=a_group(*some)) for some in choices * 3)
    )
    assert {answer.status_code for answer in answers} == {200}
    last = await (await groups.client.get(address, headers=headers)).get_json(force=True)
    assert member_ids(last) in [set(some) for some in choices]
    present: set[str] = set()
    for event in await groups.outbox(tenant):
        named = {member["value"] for member in event.data.get("members", ())}
        present = present | named if event.type.endswith("added.v1") else present - named
    assert present == {str(one) for one in member_ids(last)}


async def test_a_deleted_group_is_gone_with_its_members(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    made = await create(groups, headers, directory.add(tenant))
    address = f"/scim/v2/Groups/{made['id']}"
    response = await groups.client.delete(address, headers=headers)
    assert (response.status_code, await response.get_data()) == (204, b"")
    for method in ("get", "delete"):
        assert (await getattr(groups.client, method)(address, headers=headers)).status_code == 404
    assert (await groups.client.put(address, headers=headers, json=a_group())).status_code == 404
    assert (await kinds(groups, tenant))[2:] == ["membership.removed.v1", "group.deleted.v1"]
    async with groups.container.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM members WHERE tenant_id = $1", tenant) == 0


async def test_a_list_is_paged_in_the_order_of_creation(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    made = [await create(groups, headers, directory.add(tenant), name=f"g{number}") for number in range(4)]
    response = await groups.client.get("/scim/v2/Groups?startIndex=2&count=2", headers=headers)
    page = await response.get_json(force=True)
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (4, 2, 2)
    assert page["Resources"] == made[1:3]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('displayName eq "tour guides"', 2),
        ('externalId eq "e"', 1),
        ('externalId eq "E"', 0),
        ('displayName eq "x"', 0),
    ],
)
async def test_groups_are_found_by_indexed_attributes(
    groups: RunningService, headers: Headers, directory: Any, text: str, found: int
) -> None:
    await create(groups, headers, externalId="e")
    await create(groups, headers)
    response = await groups.client.get("/scim/v2/Groups", headers=headers, query_string={"filter": text, "count": "1"})
    body = await response.get_json(force=True)
    assert (body["totalResults"], len(body["Resources"])) == (found, min(found, 1))


async def test_names_with_quotes_and_percent_signs_stay_json(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    odd = 'Bàbs "%s" \\ \t %1$s'
    made = await create(groups, headers, directory.add(tenant, odd), name=odd)
    assert (made["displayName"], made["members"][0]["display"]) == (odd, odd)


async def test_a_group_of_another_tenant_is_not_found(groups: RunningService, headers: Headers, directory: Any) -> None:
    made = await create(groups, headers)
    stranger = groups.tokens.headers(new_tenant(), SCOPES)
    address = f"/scim/v2/Groups/{made['id']}"
    assert (await groups.client.get(address, headers=stranger)).status_code == 404
    assert (await groups.client.delete(address, headers=stranger)).status_code == 404
    assert (await groups.client.put(address, headers=stranger, json=a_group())).status_code == 404
    listed = await groups.client.get("/scim/v2/Groups", headers=stranger)
    assert (await listed.get_json(force=True))["totalResults"] == 0


SCOPES = ("groups:read", "groups:write")


async def test_an_export_holds_groups_and_memberships(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    user = directory.add(tenant)
    made = await create(groups, headers, user)
    response = await groups.client.get("/groups/data/export", headers=headers)
    lines = [json.loads(line) for line in (await response.get_data(as_text=True)).splitlines()]
    assert [line["kind"] for line in lines] == ["group", "member", "end"]
    assert lines[1]["data"] == {"group": made["id"], "value": str(user), "type": "User"}
    assert lines[2]["count"] == 2


async def test_a_member_without_a_display_name_shows_none(
    groups: RunningService, headers: Headers, tenant: str, directory: Any
) -> None:
    named = directory.add(tenant, "Babs")
    nameless = directory.add(tenant, "")
    made = await create(groups, headers, named, nameless)
    shown = {UUID(member["value"]): member.get("display") for member in made["members"]}
    assert shown == {named: "Babs", nameless: None}
    assert all("display" not in member for member in made["members"] if UUID(member["value"]) == nameless)
