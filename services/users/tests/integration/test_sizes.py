"""How large a user and a page may be: one user is limited, and a page ends at its bytes; on the real PostgreSQL."""

import asyncio
from typing import Any

import orjson
import pytest

from quartet_common.core.identifiers import new_id
from quartet_scim_http.list_store import select_page
from quartet_testing.services import RunningService
from quartet_users.search import user_source
from quartet_users.users import user_store
from quartet_users.users.user_domain import create

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
USERS = "/scim/v2/Users"
LIMIT = 512 * 1024
PAGE_BYTES = 4 * 1024 * 1024
TEXT = "x" * 60_000

Headers = dict[str, str]
Document = dict[str, Any]


def photos(number: int) -> list[Document]:
    """Values of 60 kB each."""
    return [{"value": f"{place}{TEXT}", "type": "photo"} for place in range(number)]


def user(name: str, number: int = 0) -> Document:
    return {"schemas": [CORE], "userName": name, "photos": photos(number)}


async def store(users: RunningService, tenant: str, *documents: Document) -> None:
    """Users past all limits, as they may stand in a database."""
    made = [create(new_id(), one, users.container.clock())[0] for one in documents]
    async with users.container.database.transaction() as connection:
        assert len(await user_store.insert_users(connection, tenant, made)) == len(made)


async def send(users: RunningService, headers: Headers, method: str, path: str, body: Document) -> tuple[int, Document]:
    response = await getattr(users.client, method)(path, headers=headers, json=body)
    return response.status_code, await response.get_json(force=True)


async def test_a_user_of_more_than_512_kb_is_refused_however_it_is_written(
    users: RunningService, headers: Headers
) -> None:
    status, made = await send(users, headers, "post", USERS, user("fits", 8))
    assert status == 201, made
    one = f"{USERS}/{made['id']}"
    add = {"schemas": [PATCH], "Operations": [{"op": "add", "path": "photos", "value": [{"value": TEXT}]}]}
    in_bulk = [
        {"method": "POST", "path": "/Users", "bulkId": "a", "data": user("large", 9)},
        {"method": "PUT", "path": f"/Users/{made['id']}", "data": user("fits", 9)},
        {"method": "PATCH", "path": f"/Users/{made['id']}", "data": add},
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": user("small")},
    ]
    bulk = {"schemas": [BULK], "Operations": in_bulk}
    refusals = [
        await send(users, headers, "post", USERS, user("large", 9)),
        await send(users, headers, "put", one, user("fits", 9)),
        await send(users, headers, "patch", one, add),
    ]
    _, answer = await send(users, headers, "post", "/scim/v2/Bulk", bulk)
    results = answer["Operations"]
    refusals += [(int(result["status"]), result["response"]) for result in results[:3]]
    for status, error in refusals:
        assert (status, error["scimType"]) == (400, "invalidValue")
        assert str(LIMIT) in error["detail"]
    assert results[3]["status"] == "201"


async def test_a_user_that_was_larger_before_can_be_deactivated_and_shrink_but_not_grow(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    await store(users, tenant, user("old", 12))
    listed = await users.client.get(f"{USERS}?attributes=id", headers=headers)
    one = f"{USERS}/{(await listed.get_json(force=True))['Resources'][0]['id']}"

    async def patch(op: str, path: str, value: Any = None) -> int:
        operation = {"op": op, "path": path, "value": value}
        status, _ = await send(users, headers, "patch", one, {"schemas": [PATCH], "Operations": [operation]})
        return status

    assert await patch("add", "photos", [{"value": TEXT}]) == 400
    assert await patch("remove", 'photos[value sw "1"]') == 200
    assert await patch("replace", "active", False) == 200


async def test_a_body_that_no_user_can_need_is_refused_unread(users: RunningService, headers: Headers) -> None:
    body = orjson.dumps({**user("a"), **{f"unknown{number}": number for number in range(600_000)}})
    response = await users.client.post(USERS, headers={**headers, "Content-Type": "application/json"}, data=body)
    error = await response.get_json(force=True)
    assert (response.status_code, error["status"]) == (413, "413")
    assert str(4 * LIMIT) in error["detail"]


async def test_an_object_of_too_many_attributes_is_refused_even_if_nobody_knows_them(
    users: RunningService, headers: Headers
) -> None:
    unknown = {f"unknown{number}": number for number in range(1_001)}
    replace = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": unknown}]}
    _, made = await send(users, headers, "post", USERS, user("a"))
    for method, path, body in (
        ("post", USERS, {**user("b"), **unknown}),
        ("post", USERS, {**user("b"), "name": unknown}),
        ("patch", f"{USERS}/{made['id']}", replace),
    ):
        status, error = await send(users, headers, method, path, body)
        assert (status, error["scimType"]) == (400, "invalidValue"), error
        assert "1000 attributes" in error["detail"]


@pytest.mark.parametrize("path", [f"{USERS}/.search", "/scim/v2/.search"])
async def test_a_search_request_has_at_most_64_kb(users: RunningService, headers: Headers, path: str) -> None:
    status, _ = await send(users, headers, "post", path, {"schemas": [SEARCH], "attributes": ["userName"] * 600_000})
    assert status == 413
    status, error = await send(users, headers, "post", path, {"schemas": [SEARCH], "attributes": ["a"] * 1_001})
    assert (status, error["scimType"]) == (400, "invalidValue")


async def test_many_lists_at_a_time_of_users_that_are_larger_than_usual_are_all_answered(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    """200 users of 3 kB are more than the first pass allows."""
    await store(users, tenant, *({**user(f"user{number:03}"), "title": "x" * 3_000} for number in range(200)))
    path = f"{USERS}?count=200"
    answers = await asyncio.gather(*(users.client.get(path, headers=headers) for _ in range(40)))
    assert [one.status_code for one in answers] == [200] * 40
    assert {len((await one.get_json(force=True))["Resources"]) for one in answers} == {200}


async def test_a_page_ends_at_4_mib_and_every_user_is_on_one_page(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    names = [f"user{number:02}" for number in range(22)]
    await store(users, tenant, *(user(name, 7) for name in names))

    async def page(**query: object) -> Document:
        response = await users.client.get(USERS, headers=headers, query_string={"count": 200, **query})
        assert response.status_code == 200
        assert len(await response.get_data()) < PAGE_BYTES + LIMIT + 1024
        found: Document = await response.get_json(force=True)
        assert found["itemsPerPage"] == len(found["Resources"]) <= 10
        return found

    for sort in ({}, {"sortBy": "userName"}, {"filter": "userName pr", "sortBy": "userName"}):
        by_index: list[str] = []
        while len(by_index) < len(names):
            found = await page(startIndex=len(by_index) + 1, **sort)
            assert found["totalResults"] == len(names)
            by_index += [one["userName"] for one in found["Resources"]]
        by_cursor: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            found = await page(cursor=cursor, **sort)
            by_cursor += [one["userName"] for one in found["Resources"]]
            cursor = found.get("nextCursor")
        assert sorted(by_index) == names
        assert by_cursor == by_index


async def test_no_more_than_a_page_is_read_from_the_database(
    users: RunningService, headers: Headers, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(users, tenant, *(user(f"user{number:02}", 7) for number in range(22)))
    read: list[int] = []

    async def counted(*given: Any) -> Any:
        rows = await select_page(*given)
        read.append(sum(len(row["resource"] or "") for row in rows))
        return rows

    monkeypatch.setattr(user_source, "select_page", counted)
    response = await users.client.get(USERS, headers=headers, query_string={"count": 200})
    assert response.status_code == 200
    assert max(read) < PAGE_BYTES + LIMIT
