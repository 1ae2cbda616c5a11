"""Memberships through the proxy: groups in groups, checks with their path, and pages; right at once after a write."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from quartet_testing.client import GROUPS, USERS, Api, Document, group_document, patch_document
from quartet_testing.conditions import eventually
from quartet_testing.memberships import disturbed_writers


async def check(api: Api, user: Document, group: Document) -> tuple[bool, bool, list[str]]:
    """member, direct, and the ids on the path."""
    answer = await api.get("/groups/check", params={"user": user["id"], "group": group["id"]})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return found["member"], found["direct"], [step["value"] for step in found["path"]]


async def test_a_group_in_a_group_makes_its_users_members_of_both(api: Api) -> None:
    user = await api.create_user(displayName="Barbara Jensen")
    team = await api.create_group([user["id"]])
    branch = await api.create_group([team["id"]])
    [member] = (await api.get(f"{GROUPS}/{branch['id']}")).json()["members"]
    assert (member["type"], member["display"], member["$ref"]) == (
        "Group",
        team["displayName"],
        team["meta"]["location"],
    )
    assert await check(api, user, team) == (True, True, [team["id"]])
    assert await check(api, user, branch) == (True, False, [team["id"], branch["id"]])
    [entry] = await api.entries_of(branch["id"], "groups.nesting.added")
    assert entry["data"]["groups"] == [{"value": team["id"], "display": team["displayName"]}]
    found = (await api.get(GROUPS, params={"filter": f'members.value eq "{team["id"]}"'})).json()["Resources"]
    assert [one["id"] for one in found] == [branch["id"]]


async def test_a_cycle_is_refused_with_its_path(api: Api) -> None:
    inner = await api.create_group()
    outer = await api.create_group([inner["id"]])
    join = patch_document({"op": "add", "path": "members", "value": [{"value": outer["id"], "type": "Group"}]})
    refused = await api.patch(f"{GROUPS}/{inner['id']}", json=join)
    assert (refused.status_code, refused.json()["scimType"]) == (400, "invalidValue")
    assert outer["displayName"] in refused.json()["detail"]


async def test_a_deleted_group_leaves_the_groups_around_it(api: Api) -> None:
    user = await api.create_user()
    inner = await api.create_group([user["id"]])
    outer = await api.create_group([inner["id"]])
    assert (await api.delete(f"{GROUPS}/{inner['id']}")).status_code == 204
    assert await check(api, user, outer) == (False, False, [])
    read = await api.get(f"{GROUPS}/{outer['id']}")
    assert "members" not in read.json()
    assert read.headers["ETag"] == 'W/"2"'
    [entry] = await api.entries_of(outer["id"], "groups.nesting.removed")
    assert entry["data"]["groups"][0]["value"] == inner["id"]


async def test_a_deleted_user_is_a_member_of_nothing(api: Api) -> None:
    user = await api.create_user()
    inner = await api.create_group([user["id"]])
    outer = await api.create_group([inner["id"]])
    for _ in range(3):  # the last is answered from the cache
        assert (await check(api, user, outer))[0]
    assert (await api.delete(f"{USERS}/{user['id']}")).status_code == 204

    async def gone() -> bool:
        return await check(api, user, outer) == (False, False, [])

    await eventually(gone, "groups to hear of the deletion")
    assert (await api.get(f"/groups/of/{user['id']}")).json()["groups"] == []


async def test_batches_and_pages_say_the_same_as_single_questions(api: Api) -> None:
    users = await asyncio.gather(*(api.create_user() for _ in range(5)))
    team = await api.create_group([user["id"] for user in users[:3]])
    branch = await api.create_group([team["id"], users[4]["id"]])
    asked = [{"user": user["id"], "group": group["id"]} for user in users for group in (team, branch)]
    answer = await api.post("/groups/check", json={"checks": asked})
    members = [(one["member"], one["direct"]) for one in answer.json()["results"]]
    both, neither, only_branch = [(True, True), (True, False)], [(False, False)] * 2, [(False, False), (True, True)]
    assert members == [*both * 3, *neither, *only_branch]
    of = (await api.get(f"/groups/of/{users[0]['id']}")).json()["groups"]
    assert [(one["value"], one["direct"]) for one in of] == [(team["id"], True), (branch["id"], False)]
    assert of[0]["$ref"] == team["meta"]["location"]
    first = (await api.get(f"/groups/{team['id']}/members", params={"count": 2})).json()
    rest = (await api.get(f"/groups/{team['id']}/members", params={"cursor": first["next"]})).json()
    assert [one["value"] for one in (*first["members"], *rest["members"])] == sorted(user["id"] for user in users[:3])
    assert rest["next"] is None


async def test_checks_are_right_at_once_while_others_write(api: Api) -> None:
    await disturbed_writers(api)


def wrong(document: Any) -> bytes:
    """A body that is sent as it is."""
    return document if isinstance(document, bytes) else httpx.Request("POST", "http://x", json=document).content


HOSTILE = {
    "members is a text": {**group_document(), "members": "everybody"},
    "members is a number": {**group_document(), "members": 7},
    "a member is a number": {**group_document(), "members": [7]},
    "a member without value": {**group_document(), "members": [{"display": "x"}]},
    "a member whose value is an object": {**group_document(), "members": [{"value": {"value": "x"}}]},
    "a member of no kind": {**group_document(), "members": [{"value": "x", "type": "Device"}]},
    "a member deep inside": wrong(b'{"members":' + b'[{"value":' * 5000),
    "members nested forty deep": {**group_document(), "members": json.loads("[" * 40 + "]" * 40)},
    "100,001 members": {**group_document(), "members": [{"value": str(UUID(int=n))} for n in range(100_001)]},
    "12 MB of members": {**group_document(), "members": [{"value": "x" * 118} for _ in range(88_000)]},
    "a NUL": wrong(b'{"displayName":"x","members":[{"value":"\\u0000"}]}'),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_members_that_make_no_sense_are_a_scim_error(api: Api, name: str) -> None:
    headers = {"Content-Type": "application/scim+json"}
    answer = await api.post(GROUPS, content=wrong(HOSTILE[name]), headers=headers)
    assert answer.status_code in (400, 413), answer.text
    body = answer.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["detail"]
