"""Idempotency-Key through the proxy: each POST is carried out once, and its repetition has the same response."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from quartet_testing.client import GROUPS, USERS, Api, bulk_document, group_document, unique, user_document

BULK = "/scim/v2/Bulk"


def requests_of_all_services() -> list[tuple[str, Any]]:
    """One request for each kind of thing that a tenant can create without another one."""
    operation = {"method": "POST", "path": "/Users", "bulkId": "b", "data": user_document()}
    return [
        (USERS, user_document()),
        (USERS, user_document(password="correct horse battery 7")),
        (GROUPS, group_document()),
        (BULK, bulk_document(operation)),
        ("/users/roles", {"name": unique("role"), "scopes": ["users:read"]}),
        ("/users/clients", {"name": unique("client"), "scopes": ["users:read"]}),
        ("/users/scim-tokens", {"name": unique("token")}),
        ("/users/schemas", {"id": f"urn:example:{unique('S')}", "name": "S", "attributes": [{"name": "number"}]}),
        ("/audit/erasures", {"user": str(uuid4())}),
        ("/audit/streams", {"name": unique("s"), "destination": {"type": "webhook", "url": "https://127.0.0.1:9/"}}),
    ]


@pytest.mark.parametrize("number", range(len(requests_of_all_services())))
async def test_a_repeated_post_creates_nothing_again(api: Api, number: int) -> None:
    path, body = requests_of_all_services()[number]
    headers = {"Idempotency-Key": f'"{uuid4()}"'}
    first, second = await asyncio.gather(*(api.post(path, json=body, headers=headers) for _ in range(2)))
    third = await api.post(path, json=body, headers=headers)
    assert first.status_code in (200, 201, 202), first.text
    assert (
        (second.status_code, second.content) == (third.status_code, third.content) == (first.status_code, first.content)
    )
    for name in ("Location", "ETag", "Content-Type", "Quartet-Event"):
        assert first.headers.get(name) == second.headers.get(name) == third.headers.get(name)
    assert sum("Idempotency-Replayed" in one.headers for one in (first, second)) == 1
    other = await api.post(path, json={**body, "another": 1}, headers=headers)
    assert other.status_code == 422
    assert "another request" in other.json()["detail"]


async def test_without_a_key_each_post_is_another_one(api: Api) -> None:
    groups = [await api.post(GROUPS, json=group_document()) for _ in range(2)]
    assert len({group.json()["id"] for group in groups}) == 2


async def test_a_created_user_has_one_entry(api: Api) -> None:
    body, headers = user_document(), {"Idempotency-Key": str(uuid4())}
    created = await asyncio.gather(*(api.post(USERS, json=body, headers=headers) for _ in range(10)))
    [user] = {one.json()["id"] for one in created}
    [entry] = await api.entries_of(user, "users.user.created")
    assert {one.headers["Quartet-Event"] for one in created} == {entry["id"]}


async def test_a_failed_request_can_be_corrected_with_the_same_key(api: Api) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    refused = await api.post(USERS, json={**user_document(), "active": "maybe"}, headers=headers)
    assert refused.status_code == 400
    assert (await api.post(USERS, json=user_document(), headers=headers)).status_code == 201
