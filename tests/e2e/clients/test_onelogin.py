"""OneLogin as it provisions: whole users by PUT, groups with members by PATCH, and lists that it reads to match."""

from quartet_testing.client import GROUPS, USERS, Api, Document, patch_document, unique

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def document(name: str) -> Document:
    """A user by OneLogin's template; its parameters are blank texts where nothing is mapped."""
    return {
        "schemas": [CORE, ENTERPRISE],
        "userName": f"{name}@example.com",
        "displayName": "Barbara Jensen",
        "externalId": name,
        "active": True,
        "title": "",
        "name": {"familyName": "Jensen", "givenName": "Barbara", "formatted": "Barbara Jensen"},
        "emails": [{"value": f"{name}@example.com", "type": "work", "primary": True}],
        "phoneNumbers": [{"value": "", "type": "work"}],
        "roles": ["guide"],
        ENTERPRISE: {"department": "", "manager": {"value": ""}},
    }


async def test_a_user_is_matched_created_and_updated_whole(api: Api) -> None:
    name = unique("onelogin")
    query = {"filter": f'userName eq "{name}@example.com"'}
    assert (await api.get(USERS, params=query)).json()["totalResults"] == 0
    answer = await api.post(USERS, json=document(name))
    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert created["roles"] == [{"value": "guide"}]
    sent = {**document(name), "id": created["id"], "displayName": "Babs"}
    answer = await api.put(f"{USERS}/{created['id']}", json=sent)
    assert (answer.status_code, answer.json()["displayName"]) == (200, "Babs")


async def test_a_user_is_suspended_by_a_put_with_a_truth_as_text(api: Api) -> None:
    name = unique("onelogin")
    created = (await api.post(USERS, json=document(name))).json()
    answer = await api.put(f"{USERS}/{created['id']}", json={**document(name), "active": "false"})
    assert answer.json()["active"] is False


async def test_a_user_is_suspended_by_a_patch_of_one_attribute(api: Api) -> None:
    user = await api.create_user(active=True)
    answer = await api.patch(
        f"{USERS}/{user['id']}", json=patch_document({"op": "replace", "path": "active", "value": False})
    )
    assert (answer.status_code, answer.json()["active"]) == (200, False)


async def test_groups_are_listed_to_be_mapped_and_made_where_they_are_missing(api: Api) -> None:
    name = unique("onelogin")
    assert (await api.get(GROUPS, params={"filter": f'displayName eq "{name}"'})).json()["Resources"] == []
    group = await api.create_group(displayName=name)
    listed = (await api.get(GROUPS, params={"startIndex": "1", "count": "200", "attributes": "displayName"})).json()
    assert group["id"] in [one["id"] for one in listed["Resources"]]


async def test_members_are_added_without_a_path_and_removed_one_by_one(api: Api) -> None:
    users = [(await api.create_user())["id"] for _ in range(2)]
    group = await api.create_group()
    path = f"{GROUPS}/{group['id']}"
    value = {"members": [{"value": user} for user in users]}
    assert (await api.patch(path, json=patch_document({"op": "add", "value": value}))).status_code == 200
    remove = {"op": "remove", "path": f'members[value eq "{users[0]}"]'}
    assert (await api.patch(path, json=patch_document(remove))).status_code == 200
    assert [one["value"] for one in (await api.get(path)).json()["members"]] == [users[1]]


async def test_an_address_may_end_in_a_slash(api: Api) -> None:
    name = unique("onelogin")
    answer = await api.post(f"{USERS}/", json=document(name))
    assert answer.status_code == 201, answer.text
    user = answer.json()
    assert (await api.get(f"{USERS}/{user['id']}/")).json() == user
    assert (await api.get(f"{GROUPS}/", params={"count": "1"})).status_code == 200
