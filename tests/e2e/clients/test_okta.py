"""Okta as it provisions: whole profiles, groups that are pushed, and renamed with the id inside the value."""

from typing import Any

import pytest

from quartet_testing.client import GROUPS, USERS, Api, Document, group_document, patch_document, unique

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
OKTA = "urn:okta:onprem_app:1.0:user:custom"


def profile(**changed: Any) -> Document:
    """A profile as Okta's templates send it: blanks for what is not there, and a password that nobody will use."""
    name = f"{unique('isaac')}@example.com"
    return {
        "schemas": [CORE, ENTERPRISE, OKTA],
        "userName": name,
        "name": {"givenName": "Isaac", "familyName": "Brock", "middleName": None},
        "emails": [{"primary": True, "value": name, "type": "work", "display": name}],
        "displayName": "Isaac Brock",
        "locale": "en-US",
        "externalId": unique("00u"),
        "groups": [],
        "phoneNumbers": [],
        "password": "1mz050nq7H4cK2vx",
        "active": True,
        OKTA: {"badge": "7"},
        **changed,
    }


async def create(api: Api, document: Document) -> Document:
    answer = await api.post(USERS, json=document, headers={"Content-Type": "application/scim+json; charset=utf-8"})
    assert answer.status_code == 201, answer.text
    created: Document = answer.json()
    return created


async def changed(api: Api, path: str, *operations: Document) -> Document:
    answer = await api.patch(path, json=patch_document(*operations))
    assert answer.status_code == 200, answer.text
    found: Document = answer.json()
    return found


async def members(api: Api, group: Document) -> set[str]:
    found = (await api.get(f"{GROUPS}/{group['id']}")).json()
    return {member["value"] for member in found.get("members", [])}


async def test_a_user_is_looked_for_created_and_found_again(api: Api) -> None:
    document = profile()
    query = {"filter": f'userName eq "{document["userName"]}"', "startIndex": "1", "count": "100"}
    assert (await api.get(USERS, params=query)).json()["totalResults"] == 0
    created = await create(api, document)
    found = (await api.get(USERS, params=query)).json()
    assert [one["id"] for one in found["Resources"]] == [created["id"]]
    assert created["active"] is True
    assert "password" not in created


async def test_a_user_name_is_found_whatever_its_case_an_external_id_only_as_it_is(api: Api) -> None:
    document = profile()
    created = await create(api, document)
    for text, number in (
        (f'userName eq "{document["userName"].upper()}"', 1),
        (f'externalId eq "{document["externalId"]}"', 1),
        (f'externalId eq "{document["externalId"].upper()}"', 0),
    ):
        found = (await api.get(USERS, params={"filter": text})).json()
        assert found["totalResults"] == number, text
    again = await api.post(USERS, json=profile(userName=created["userName"].upper()))
    assert (again.status_code, again.json()["scimType"]) == (409, "uniqueness")


async def test_an_unknown_schema_is_no_reason_to_refuse_a_resource(api: Api) -> None:
    created = await create(api, profile())
    assert OKTA not in created
    assert OKTA not in created["schemas"]


async def test_the_connection_test_asks_for_an_empty_user_name(api: Api) -> None:
    answer = await api.get(USERS, params={"filter": 'userName eq ""', "count": "1"})
    assert (answer.status_code, answer.json()["totalResults"]) == (200, 0)


async def test_a_whole_profile_is_put_back_with_what_the_server_added(api: Api) -> None:
    created = await create(api, profile())
    sent = {**created, "name": {"givenName": "Isaac", "familyName": "Newton"}, "title": None, "groups": []}
    answer = await api.put(f"{USERS}/{created['id']}", json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"]["familyName"] == "Newton"
    assert answer.json()["id"] == created["id"]


async def test_a_user_is_deactivated_by_a_patch_without_a_path(api: Api) -> None:
    created = await create(api, profile())
    found = await changed(api, f"{USERS}/{created['id']}", {"op": "replace", "value": {"active": False}})
    assert found["active"] is False
    found = await changed(api, f"{USERS}/{created['id']}", {"op": "replace", "value": {"active": True}})
    assert found["active"] is True


async def test_a_generated_password_that_is_too_short_is_refused_by_name(api: Api) -> None:
    answer = await api.post(USERS, json=profile(password="1mz050nq"))
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    assert answer.json()["detail"] == "password: It must have at least 15 characters."


async def test_a_password_is_synchronised_by_a_patch_and_never_shown(api: Api) -> None:
    created = await create(api, profile())
    found = await changed(
        api, f"{USERS}/{created['id']}", {"op": "replace", "value": {"password": "n3w pass phrase 4 me"}}
    )
    assert "password" not in found


async def test_a_group_is_pushed_empty_and_then_filled(api: Api) -> None:
    users = [await create(api, profile()) for _ in range(2)]
    answer = await api.post(GROUPS, json={**group_document(), "members": []})
    assert answer.status_code == 201
    group = answer.json()
    value = [{"value": user["id"], "display": user["userName"]} for user in users]
    await changed(api, f"{GROUPS}/{group['id']}", {"op": "add", "path": "members", "value": value})
    assert await members(api, group) == {user["id"] for user in users}
    path = f'members[value eq "{users[0]["id"]}"]'
    await changed(api, f"{GROUPS}/{group['id']}", {"op": "remove", "path": path})
    assert await members(api, group) == {users[1]["id"]}


async def test_a_group_is_renamed_with_its_id_inside_the_value(api: Api) -> None:
    user = await create(api, profile())
    group = await api.create_group([user["id"]])
    name = unique("Renamed")
    value = {"id": group["id"], "displayName": name}
    found = await changed(api, f"{GROUPS}/{group['id']}", {"op": "replace", "value": value})
    assert found["displayName"] == name
    assert await members(api, group) == {user["id"]}


async def test_push_now_replaces_all_members_also_by_none(api: Api) -> None:
    users = [await create(api, profile()) for _ in range(2)]
    group = await api.create_group([users[0]["id"]])
    for value in ([{"value": users[1]["id"]}], []):
        await changed(api, f"{GROUPS}/{group['id']}", {"op": "replace", "path": "members", "value": value})
        assert await members(api, group) == {one["value"] for one in value}


async def test_a_group_is_put_with_its_members(api: Api) -> None:
    users = [await create(api, profile()) for _ in range(2)]
    group = await api.create_group([users[0]["id"]])
    sent = {**group, "members": [{"value": users[1]["id"], "display": users[1]["userName"]}]}
    assert (await api.put(f"{GROUPS}/{group['id']}", json=sent)).status_code == 200
    assert await members(api, group) == {users[1]["id"]}


async def test_groups_are_imported_by_pages_from_the_first(api: Api) -> None:
    group = await api.create_group()
    answer = (await api.get(GROUPS, params={"startIndex": "1", "count": "100"})).json()
    assert answer["startIndex"] == 1
    assert answer["totalResults"] >= 1
    found = (await api.get(GROUPS, params={"filter": f'displayName eq "{group["displayName"]}"'})).json()
    assert [one["id"] for one in found["Resources"]] == [group["id"]]


@pytest.mark.parametrize("odd", ["nobody", "00u1b2c3", "%20", "../Users"])
async def test_a_read_of_an_unknown_user_id_is_404(api: Api, odd: str) -> None:
    answer = await api.get(f"{USERS}/{odd.replace('/', '%2F')}")
    assert (answer.status_code, answer.json()["status"]) == (404, "404")
