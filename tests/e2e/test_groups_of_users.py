"""What users belong to, through the proxy: whatever happens to groups shows on their users, also after faults."""

import asyncio

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, Document, patch_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import back, kill, stopped

WORKER = "users-worker"


async def belongs(api: Api, user: Document, expected: dict[str, str]) -> None:
    """Wait until the user shows exactly these groups: type by id."""

    async def probe() -> bool:
        shown = (await api.get(f"{USERS}/{user['id']}")).json().get("groups", [])
        found = {group["value"]: group["type"] for group in shown}
        assert found == expected, found
        return True

    await eventually(probe, "the groups of the user")


async def change(api: Api, group: Document, *operations: Document) -> None:
    answer = await api.patch(f"{GROUPS}/{group['id']}", json=patch_document(*operations))
    assert answer.status_code in (200, 204), answer.text


async def test_a_group_shows_on_its_members_with_name_and_address(api: Api) -> None:
    user = await api.create_user()
    group = await api.create_group([user["id"]])
    await belongs(api, user, {group["id"]: "direct"})
    await change(api, group, {"op": "replace", "path": "displayName", "value": "Guides"})

    async def renamed() -> bool:
        [shown] = (await api.get(f"{USERS}/{user['id']}")).json()["groups"]
        assert shown["display"] == "Guides"
        return bool((await api.get(shown["$ref"])).json()["id"] == group["id"])

    await eventually(renamed, "the new name")
    await change(api, group, {"op": "remove", "path": f'members[value eq "{user["id"]}"]'})
    await belongs(api, user, {})


async def test_a_deleted_group_is_gone_from_its_members(api: Api) -> None:
    user = await api.create_user()
    kept, gone = await api.create_group([user["id"]]), await api.create_group([user["id"]])
    await belongs(api, user, {kept["id"]: "direct", gone["id"]: "direct"})
    assert (await api.delete(f"{GROUPS}/{gone['id']}")).status_code == 204
    await belongs(api, user, {kept["id"]: "direct"})


async def test_users_are_found_by_the_group_that_they_are_in(api: Api) -> None:
    user, _ = await api.create_user(), await api.create_user()
    group = await api.create_group([user["id"]])
    await belongs(api, user, {group["id"]: "direct"})
    found = (await api.get(USERS, params={"filter": f'groups.value eq "{group["id"]}"'})).json()
    assert [one["id"] for one in found["Resources"]] == [user["id"]]


async def test_a_group_in_a_group_shows_on_the_members_of_both(api: Api) -> None:
    user = await api.create_user()
    inner = await api.create_group([user["id"]])
    outer = await api.create_group([inner["id"]])
    await belongs(api, user, {inner["id"]: "direct", outer["id"]: "indirect"})
    await change(api, outer, {"op": "remove", "path": f'members[value eq "{inner["id"]}"]'})
    await belongs(api, user, {inner["id"]: "direct"})
    await change(api, outer, {"op": "add", "path": "members", "value": [{"value": inner["id"]}]})
    await belongs(api, user, {inner["id"]: "direct", outer["id"]: "indirect"})
    assert (await api.delete(f"{GROUPS}/{inner['id']}")).status_code == 204
    await belongs(api, user, {})


@pytest.mark.local_stack
@pytest.mark.usefixtures("whole_stack")
async def test_what_happens_while_the_worker_is_killed_or_down_is_not_lost(api: Api, stack: Stack) -> None:
    users = [await api.create_user() for _ in range(5)]
    first = await api.create_group([user["id"] for user in users])
    await kill(stack, WORKER)
    second = await api.create_group([user["id"] for user in users[:2]])
    await back(stack, WORKER)
    async with stopped(stack, WORKER):
        third = await api.create_group([users[0]["id"]])
        await change(api, first, {"op": "remove", "path": f'members[value eq "{users[0]["id"]}"]'})
        assert (await api.delete(f"{GROUPS}/{second['id']}")).status_code == 204
    await belongs(api, users[0], {third["id"]: "direct"})
    await asyncio.gather(*(belongs(api, user, {first["id"]: "direct"}) for user in users[1:]))
