"""Entra ID as it provisions: capitalised operations, truths as text, dotted keys, and members taken out by a list."""

from typing import Any

import pytest

from quartet_testing.client import GROUPS, USERS, Api, Document, patch_document, unique, user_document

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


async def changed(api: Api, path: str, *operations: Document) -> Document:
    answer = await api.patch(path, json=patch_document(*operations))
    assert answer.status_code == 200, answer.text
    found: Document = answer.json()
    return found


async def change(api: Api, *operations: Document, **attributes: Any) -> Document:
    """What the operations make of a new user."""
    user = await api.create_user(**attributes)
    return await changed(api, f"{USERS}/{user['id']}", *operations)


async def test_a_user_is_created_as_entra_sends_it_and_looked_for_by_external_id(api: Api) -> None:
    alias = unique("alias")
    document = {
        "schemas": [CORE, ENTERPRISE],
        "externalId": alias,
        "userName": f"{alias}@example.com",
        "active": True,
        "displayName": "Barbara Jensen",
        "emails": [{"primary": True, "type": "work", "value": f"{alias}@example.com"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "Barbara Jensen", "familyName": "Jensen", "givenName": "Barbara"},
        "roles": [],
        ENTERPRISE: {"department": "Tours", "manager": "26118915-6090-4610-87e4-49d8ca9f808d"},
    }
    answer = await api.post(USERS, json=document)
    assert answer.status_code == 201, answer.text
    assert answer.json()[ENTERPRISE]["manager"] == {"value": "26118915-6090-4610-87e4-49d8ca9f808d"}
    query = {"filter": f'externalId eq "{alias}"'}
    [found] = (await api.get(USERS, params=query)).json()["Resources"]
    assert found["id"] == answer.json()["id"]


async def test_the_connection_test_asks_for_a_user_that_cannot_be(api: Api) -> None:
    query = {"filter": f'userName eq "{unique("non-existent")}"'}
    answer = await api.get(USERS, params=query)
    assert (answer.status_code, answer.json()["totalResults"], answer.json()["Resources"]) == (200, 0, [])


@pytest.mark.parametrize("value", ["False", "false", "FALSE", False])
@pytest.mark.parametrize("op", ["Replace", "Add", "replace"])
async def test_a_truth_may_be_a_text_and_an_operation_capitalised(api: Api, op: str, value: object) -> None:
    found = await change(api, {"op": op, "path": "active", "value": value}, active=True)
    assert found["active"] is False


@pytest.mark.parametrize("value", ["no", "", 0, 1, ["a", "b"], {"a": 1}])
async def test_what_is_no_truth_is_refused_and_changes_nothing(api: Api, value: object) -> None:
    user = await api.create_user(active=True)
    operation = {"op": "Replace", "path": "active", "value": value}
    answer = await api.patch(f"{USERS}/{user['id']}", json=patch_document(operation))
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    assert "active" in answer.json()["detail"]
    assert (await api.get(f"{USERS}/{user['id']}")).json()["meta"]["version"] == 'W/"1"'


async def test_a_truth_in_a_list_is_unpacked(api: Api) -> None:
    found = await change(api, {"op": "Replace", "path": "active", "value": [{"value": "False"}]}, active=True)
    assert found["active"] is False


async def test_a_patch_without_a_path_has_dotted_keys_and_urns(api: Api) -> None:
    value = {
        "displayName": "Barbara",
        "name.givenName": "Barbara",
        'emails[type eq "work"].value': "b@example.com",
        f"{ENTERPRISE}:department": "Tours",
        f"{ENTERPRISE}:manager": "26118915",
        "active": "True",
    }
    found = await change(api, {"op": "Add", "value": value})
    assert found["name"] == {"givenName": "Barbara"}
    assert found["emails"] == [{"type": "work", "value": "b@example.com"}]
    assert found[ENTERPRISE] == {"department": "Tours", "manager": {"value": "26118915"}}
    assert found["active"] is True


@pytest.mark.parametrize("op", ["Replace", "Add"])
async def test_an_email_that_is_not_there_is_made(api: Api, op: str) -> None:
    path = 'emails[type eq "work"].value'
    found = await change(api, {"op": op, "path": path, "value": "b@example.com"})
    assert found["emails"] == [{"type": "work", "value": "b@example.com"}]


async def test_an_email_that_is_there_is_changed_and_no_other(api: Api) -> None:
    emails = [{"type": "work", "value": "old@example.com"}, {"type": "home", "value": "home@example.com"}]
    operation = {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "new@example.com"}
    found = await change(api, operation, emails=emails)
    assert sorted(one["value"] for one in found["emails"]) == ["home@example.com", "new@example.com"]


async def test_a_manager_is_a_bare_text_and_goes_by_an_empty_one(api: Api) -> None:
    path = f"{ENTERPRISE}:manager"
    user = await api.create_user()
    found = await changed(api, f"{USERS}/{user['id']}", {"op": "Add", "path": path, "value": "26118915"})
    assert found[ENTERPRISE] == {"manager": {"value": "26118915"}}
    found = await changed(api, f"{USERS}/{user['id']}", {"op": "Replace", "path": path, "value": ""})
    assert ENTERPRISE not in found
    found = await changed(api, f"{USERS}/{user['id']}", {"op": "Add", "path": "manager", "value": "7"})
    assert found[ENTERPRISE] == {"manager": {"value": "7"}}


async def test_a_user_is_deleted_softly_and_then_for_good(api: Api) -> None:
    user = await api.create_user()
    path = f"{USERS}/{user['id']}"
    assert (await changed(api, path, {"op": "Replace", "path": "active", "value": "False"}))["active"] is False
    assert (await api.get(path)).json()["active"] is False
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404


async def test_a_group_is_found_by_name_and_read_without_its_members(api: Api) -> None:
    group = await api.create_group([(await api.create_user())["id"]], externalId=unique("group"))
    for name in ("displayName", "externalId"):
        query = {"excludedAttributes": "members", "filter": f'{name} eq "{group[name]}"'}
        [found] = (await api.get(GROUPS, params=query)).json()["Resources"]
        assert found["id"] == group["id"]
        assert "members" not in found
    read = await api.get(f"{GROUPS}/{group['id']}", params={"excludedAttributes": "members"})
    assert "members" not in read.json()


async def test_members_are_added_and_removed_by_lists(api: Api) -> None:
    users = [(await api.create_user())["id"] for _ in range(3)]
    group = await api.create_group()
    path = f"{GROUPS}/{group['id']}"
    added = [{"$ref": None, "value": user} for user in users]
    await changed(api, path, {"op": "Add", "path": "members", "value": added})
    await changed(api, path, {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": users[0]}]})
    await changed(api, path, {"op": "Remove", "path": f'members[value eq "{users[1]}"]'})
    members = (await api.get(path)).json()["members"]
    assert [member["value"] for member in members] == [users[2]]
    query = {"filter": f'id eq "{group["id"]}" and members[value eq "{users[2]}"]', "attributes": "id"}
    assert (await api.get(GROUPS, params=query)).json()["totalResults"] == 1


async def test_adding_a_present_member_and_removing_an_absent_one_is_no_error_and_no_change(api: Api) -> None:
    user, stranger = [(await api.create_user())["id"] for _ in range(2)]
    group = await api.create_group([user])
    operations = [
        {"op": "Add", "path": "members", "value": [{"value": user}]},
        {"op": "Remove", "path": "members", "value": [{"value": stranger}]},
    ]
    found = await changed(api, f"{GROUPS}/{group['id']}", *operations)
    assert found["meta"]["version"] == group["meta"]["version"]


async def test_a_group_is_renamed_and_its_external_id_changed(api: Api) -> None:
    group = await api.create_group()
    name = unique("Renamed")
    operations = [
        {"op": "Replace", "path": "displayName", "value": name},
        {"op": "Add", "path": "externalId", "value": name},
    ]
    found = await changed(api, f"{GROUPS}/{group['id']}", *operations)
    assert (found["displayName"], found["externalId"]) == (name, name)


async def test_a_role_is_chosen_by_a_truth_that_is_a_text(api: Api) -> None:
    operation = {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "auditor"}
    assert (await change(api, operation))["roles"] == [{"primary": True, "value": "auditor"}]


async def test_creating_an_existing_user_is_a_conflict(api: Api) -> None:
    user = await api.create_user()
    answer = await api.post(USERS, json=user_document(userName=user["userName"]))
    assert (answer.status_code, answer.json()["scimType"], answer.json()["status"]) == (409, "uniqueness", "409")
