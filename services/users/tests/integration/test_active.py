"""`active` of users over HTTP: active from the start, and deactivated until a client sends `true`."""

from typing import Any

import pytest

from quartet_testing.client import USER, USERS, Document
from quartet_testing.people import People

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


async def send(people: People, method: str, path: str, body: Document) -> Document:
    """The answer to a request that succeeds."""
    response = await people.users.client.open(path, method=method, headers=people.headers, json=body)
    assert response.status_code in (200, 201), await response.get_data()
    answer: Document = await response.get_json(force=True)
    return answer


async def found(people: People, text: str) -> list[str]:
    """The ids that a filter finds; they are as many as the total says."""
    query = {"filter": text}
    response = await people.users.client.get(USERS, headers=people.headers, query_string=query)
    page = await response.get_json(force=True)
    assert page["totalResults"] == len(page["Resources"])
    return [one["id"] for one in page["Resources"]]


async def deactivated(people: People) -> Document:
    """A user with a password who may not log in."""
    person = await people.person()
    operation = {"op": "replace", "path": "active", "value": False}
    return await send(people, "PATCH", f"{USERS}/{person['id']}", {"schemas": [PATCH], "Operations": [operation]})


@pytest.mark.parametrize("sent", [{}, {"active": None}, {"active": True}, {"active": "True"}])
async def test_a_user_is_active_from_the_start_wherever_one_looks(people: People, sent: Document) -> None:
    made = await people.person(None, **sent)
    read = await people.users.client.get(f"{USERS}/{made['id']}", headers=people.headers)
    assert made["active"] is (await read.get_json(force=True))["active"] is True
    assert await found(people, "active eq true") == await found(people, "active pr") == [made["id"]]
    assert await found(people, "active ne true or active eq false or not (active eq true)") == []
    assert [data["active"] for data in await people.published("users.user.created.v1")] == [True]


async def test_a_user_of_a_bulk_is_active_from_the_start(people: People) -> None:
    operation = {"method": "POST", "path": "/Users", "bulkId": "1", "data": {"schemas": [USER], "userName": "b"}}
    await send(people, "POST", "/scim/v2/Bulk", {"schemas": [BULK], "Operations": [operation]})
    assert len(await found(people, "active eq true")) == 1


async def test_users_are_sorted_by_active_whether_they_were_sent_with_it_or_not(people: People) -> None:
    inactive = await people.person(None, active=False)
    silent, active = await people.person(None), await people.person(None, active=True)
    query = {"sortBy": "active", "cursor": ""}
    response = await people.users.client.get(USERS, headers=people.headers, query_string=query)
    ids = [one["id"] for one in (await response.get_json(force=True))["Resources"]]
    assert ids == [inactive["id"], silent["id"], active["id"]]


@pytest.mark.parametrize("sent", [{}, {"active": None}, {"active": False}, {"active": "False"}])
async def test_a_put_without_active_leaves_a_deactivated_user_as_it_is(people: People, sent: Document) -> None:
    user = await deactivated(people)
    body = {"schemas": [USER], "userName": user["userName"], "title": "Guide", **sent}
    changed = await send(people, "PUT", f"{USERS}/{user['id']}", body)
    assert (changed["active"], changed["title"]) == (False, "Guide")
    assert (await people.try_login(user["userName"]))[0] == 401
    published = (await people.published("users.user.updated.v1"))[-1]
    assert (published["active"], published["changed"]) == (False, ["title"])


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "active", "value": None},
        {"op": "add", "path": "active", "value": None},
        {"op": "remove", "path": "active"},
        {"op": "replace", "value": {"active": None}},
    ],
)
async def test_a_patch_that_takes_active_away_activates_nobody(people: People, operation: dict[str, Any]) -> None:
    user = await deactivated(people)
    body = {"schemas": [PATCH], "Operations": [operation]}
    changed = await send(people, "PATCH", f"{USERS}/{user['id']}", body)
    assert (changed["active"], changed["meta"]["version"]) == (False, user["meta"]["version"])
    assert await found(people, "active eq false") == [user["id"]]
    assert (await people.try_login(user["userName"]))[0] == 401


@pytest.mark.parametrize("value", [True, "True"])
async def test_only_true_activates_a_user(people: People, value: object) -> None:
    user = await deactivated(people)
    body = {"schemas": [USER], "userName": user["userName"], "active": value}
    assert (await send(people, "PUT", f"{USERS}/{user['id']}", body))["active"] is True
    assert (await people.try_login(user["userName"]))[0] == 200


async def test_an_active_user_stays_active_by_a_put_without_active(people: People) -> None:
    person = await people.person()
    body = {"schemas": [USER], "userName": person["userName"]}
    same = await send(people, "PUT", f"{USERS}/{person['id']}", body)
    assert (same["active"], same["meta"]) == (True, person["meta"])
    assert (await people.try_login(person["userName"]))[0] == 200
