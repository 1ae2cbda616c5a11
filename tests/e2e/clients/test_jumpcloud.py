"""JumpCloud as it provisions: a test user and a test group first, groups taken over by name, members by PATCH."""

from quartet_testing.client import GROUPS, USERS, Api, Document, patch_document, unique

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


def document(name: str) -> Document:
    """A user by JumpCloud's mapping."""
    return {
        "Schemas": [CORE],
        "externalId": name,
        "userName": f"{name}@example.com",
        "name": {"familyName": "Jensen", "givenName": "Barbara"},
        "displayName": "Barbara Jensen",
        "emails": [{"value": f"{name}@example.com", "type": "work", "primary": True}],
        "active": True,
    }


async def test_the_connection_test_makes_a_user_and_a_group_and_deletes_both(api: Api) -> None:
    name = unique("jumpcloud")
    assert (await api.get(f"{USERS}", params={"filter": f'userName eq "{name}@example.com"'})).status_code == 200
    user = await api.post(USERS, json=document(name))
    assert user.status_code == 201, user.text
    path = f"{USERS}/{user.json()['id']}"
    changed = await api.put(path, json={**document(name), "displayName": "Changed"})
    assert changed.json()["displayName"] == "Changed"
    suspended = await api.patch(path, json=patch_document({"op": "replace", "value": {"active": False}}))
    assert suspended.json()["active"] is False
    group = await api.post(GROUPS, json={"schemas": [GROUP], "displayName": name, "members": []})
    assert group.status_code == 201
    assert (await api.delete(f"{GROUPS}/{group.json()['id']}")).status_code == 204
    assert (await api.delete(path)).status_code == 204
    assert (await api.delete(path)).status_code == 404


async def test_a_group_that_is_there_is_found_by_its_name_and_taken_over(api: Api) -> None:
    user = await api.create_user()
    group = await api.create_group()
    query = {"filter": f'displayName eq "{group["displayName"].upper()}"'}
    [found] = (await api.get(GROUPS, params=query)).json()["Resources"]
    operation = {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
    answer = await api.patch(f"{GROUPS}/{found['id']}", json=patch_document(operation))
    assert answer.status_code == 200
    shown = await api.patch(
        f"{GROUPS}/{found['id']}",
        params={"attributes": "members"},
        json=patch_document({"op": "replace", "path": "displayName", "value": unique("Renamed")}),
    )
    assert [one["value"] for one in shown.json()["members"]] == [user["id"]]


async def test_members_are_removed_by_a_list_of_values(api: Api) -> None:
    users = [(await api.create_user())["id"] for _ in range(3)]
    group = await api.create_group(users)
    gone = [{"value": user} for user in users[:2]]
    answer = await api.patch(
        f"{GROUPS}/{group['id']}", json=patch_document({"op": "remove", "path": "members", "value": gone})
    )
    assert answer.status_code == 200
    members = (await api.get(f"{GROUPS}/{group['id']}")).json()["members"]
    assert [one["value"] for one in members] == [users[2]]


async def test_a_whole_group_is_put(api: Api) -> None:
    user = await api.create_user()
    group = await api.create_group()
    sent = {"schemas": [GROUP], "id": group["id"], "displayName": unique("Put"), "members": [{"value": user["id"]}]}
    answer = await api.put(f"{GROUPS}/{group['id']}", json=sent)
    assert (answer.status_code, answer.json()["displayName"]) == (200, sent["displayName"])
    assert [one["value"] for one in answer.json()["members"]] == [user["id"]]
