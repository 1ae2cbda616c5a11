"""Groups through the proxy: members by id, and what becomes of them when their users change or go."""

from functools import partial

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, group_document, patch_document, user_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused
from quartet_testing.services import new_tenant

REMOVED = "groups.membership.removed"


async def members(api: Api, group_id: str) -> list[dict[str, str]]:
    """The members that the group has now."""
    answer = await api.get(f"{GROUPS}/{group_id}")
    assert answer.status_code == 200
    found: list[dict[str, str]] = answer.json().get("members", [])
    return found


async def test_a_user_is_a_member_right_after_its_creation(api: Api) -> None:
    user = await api.create_user(displayName="Barbara Jensen")
    group = await api.create_group([user["id"]])
    [member] = await members(api, group["id"])
    assert (member["value"], member["display"]) == (user["id"], "Barbara Jensen")
    assert member["$ref"] == user["meta"]["location"]
    [entry] = await api.entries_of(group["id"], "groups.membership.added")
    assert entry["data"]["members"] == [{"value": user["id"], "type": "User"}]
    [entry] = await api.entries_of(group["id"], "groups.group.created")
    assert entry["data"]["displayName"] == group["displayName"]


@pytest.mark.local_stack
async def test_a_member_that_no_event_has_named_is_looked_up_in_users(api: Api, stack: Stack) -> None:
    async with paused(stack, "groups-worker"):  # so that the event of the creation cannot have come before
        user = await api.create_user(displayName="Barbara Jensen")
        group = await api.create_group([user["id"]])
        assert [member["display"] for member in await members(api, group["id"])] == ["Barbara Jensen"]


async def test_a_member_that_is_no_user_is_refused_by_name(api: Api) -> None:
    for unknown in (new_tenant(), "01a20461-5236-7316-baf9-661540160510"):
        refused = await api.post(GROUPS, json=group_document([unknown]))
        assert (refused.status_code, refused.json()["scimType"]) == (400, "invalidValue")
        assert "members" in refused.json()["detail"]


async def test_a_deleted_user_does_not_become_a_member(api: Api) -> None:
    user = await api.create_user()
    await api.create_group([user["id"]])  # groups knows the user from now on
    assert (await api.delete(f"{USERS}/{user['id']}")).status_code == 204

    async def refused() -> bool:
        return (await api.post(GROUPS, json=group_document([user["id"]]))).status_code == 400

    await eventually(refused, "the deleted user to be refused")  # groups may hear of the deletion a moment later
    assert await refused()


async def test_a_replaced_group_has_the_members_that_were_sent_and_no_others(api: Api) -> None:
    first, second = await api.create_user(), await api.create_user()
    group = await api.create_group([first["id"]])
    document = group_document([second["id"]], displayName=group["displayName"])
    answer = await api.put(f"{GROUPS}/{group['id']}", json=document)
    assert [member["value"] for member in answer.json()["members"]] == [second["id"]]
    [entry] = await api.entries_of(group["id"], REMOVED)
    assert entry["data"]["members"] == [{"value": first["id"], "type": "User"}]


async def test_a_deleted_user_leaves_its_groups_in_the_name_of_who_deleted_it(api: Api) -> None:
    user, stays = await api.create_user(), await api.create_user()
    groups = [await api.create_group([user["id"], stays["id"]]) for _ in range(2)]
    assert (await api.delete(f"{USERS}/{user['id']}")).status_code == 204
    [deletion] = await api.entries_of(user["id"], "users.user.deleted")
    for group in groups:
        await eventually(partial(has_only, api, group["id"], stays["id"]), "the user to leave the group")
        [entry] = await api.entries_of(group["id"], REMOVED)
        assert entry["actor"] == deletion["actor"] == "quartet-admin"
        assert entry["trace_id"] == deletion["trace_id"]
        assert entry["data"]["members"] == [{"value": user["id"], "type": "User"}]


async def has_only(api: Api, group_id: str, member_id: str) -> bool:
    """Whether the group has that one member."""
    return [member["value"] for member in await members(api, group_id)] == [member_id]


async def test_a_renamed_user_has_its_new_name_in_its_groups(api: Api) -> None:
    user = await api.create_user(displayName="Babs")
    group = await api.create_group([user["id"]])
    document = user_document(userName=user["userName"], displayName="Barbara")
    assert (await api.put(f"{USERS}/{user['id']}", json=document)).status_code == 200

    async def renamed() -> bool:
        return [member["display"] for member in await members(api, group["id"])] == ["Barbara"]

    await eventually(renamed, "the new name")


async def test_a_deleted_group_does_not_exist_and_has_no_members(api: Api) -> None:
    user = await api.create_user()
    group = await api.create_group([user["id"]])
    assert (await api.delete(f"{GROUPS}/{group['id']}")).status_code == 204
    assert (await api.get(f"{GROUPS}/{group['id']}")).status_code == 404
    await api.entries_of(group["id"], "groups.group.deleted")
    [entry] = await api.entries_of(group["id"], REMOVED)
    assert entry["data"]["members"] == [{"value": user["id"], "type": "User"}]


async def test_members_are_patched_in_and_out_and_each_step_is_audited(api: Api) -> None:
    user = await api.create_user()
    group = await api.create_group()
    join = patch_document({"op": "add", "path": "members", "value": [{"value": user["id"]}]})
    leave = patch_document({"op": "remove", "path": f'members[value eq "{user["id"]}"]'})
    joined = (await api.patch(f"{GROUPS}/{group['id']}", json=join)).json()
    assert [member["value"] for member in joined["members"]] == [user["id"]]
    assert await has_only(api, group["id"], user["id"])
    assert (await api.patch(f"{GROUPS}/{group['id']}", json=leave)).status_code == 200
    assert await members(api, group["id"]) == []
    [entry] = await api.entries_of(group["id"], REMOVED)
    assert entry["data"]["members"] == [{"value": user["id"], "type": "User"}]
