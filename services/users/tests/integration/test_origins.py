"""Origins of tenants over HTTP: allowed, listed and removed, with events that have all of them."""

import asyncio
from typing import Any

import pytest

from quartet_testing.services import RunningService, new_tenant
from quartet_users.origins.origin_domain import MAX_ORIGINS

Headers = dict[str, str]
APP, ADMIN = "https://app.example.com", "https://admin.example.com"


@pytest.fixture
def headers(users: RunningService, tenant: str) -> Headers:
    """A token of somebody who manages origins, and nothing else."""
    return users.tokens.headers(tenant, ["origins:manage"], actor="web-team")


async def add(users: RunningService, headers: Headers, origin: Any) -> tuple[int, dict[str, Any]]:
    answer = await users.client.post("/users/origins", headers=headers, json={"origin": origin})
    return answer.status_code, await answer.get_json(force=True)


async def origins_in_memory(users: RunningService, tenant: str) -> list[str]:
    async with users.container.database.connection() as connection:
        found = await connection.fetchval("SELECT origins FROM tenant_origins WHERE tenant_id = $1", tenant)
    return list(found or [])


async def test_an_origin_is_allowed_read_and_removed_with_an_event_each(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    answer = await users.client.post("/users/origins", headers=headers, json={"origin": "HTTPS://App.example.com:443"})
    made = await answer.get_json()
    path = f"/users/origins/{made['id']}"
    assert answer.status_code == 201
    assert answer.headers["Location"].endswith(path)
    assert (made["origin"], made["created_by"]) == (APP, "web-team")
    assert await (await users.client.get(path, headers=headers)).get_json() == made
    _, second = await add(users, headers, ADMIN)
    assert await origins_in_memory(users, tenant) == [APP, ADMIN]
    assert (await users.client.delete(path, headers=headers)).status_code == 204
    assert (await users.client.get(path, headers=headers)).status_code == 404
    assert (await users.client.delete(path, headers=headers)).status_code == 404
    assert await origins_in_memory(users, tenant) == [ADMIN]
    published = await users.outbox(tenant)
    versions = [event.data.pop("version") for event in published]
    assert versions == sorted(set(versions))
    assert [(event.action, event.subject, event.sequence, event.data) for event in published] == [
        (
            "users.origin.added",
            f"origins/{made['id']}",
            1,
            {"id": made["id"], "origin": APP, "origins": [APP]},
        ),
        (
            "users.origin.added",
            f"origins/{second['id']}",
            1,
            {"id": second["id"], "origin": ADMIN, "origins": [APP, ADMIN]},
        ),
        (
            "users.origin.removed",
            f"origins/{made['id']}",
            2,
            {"id": made["id"], "origin": APP, "origins": [ADMIN]},
        ),
    ]


async def test_the_events_are_urgent(users: RunningService, headers: Headers, tenant: str) -> None:
    await add(users, headers, APP)
    async with users.container.database.connection() as connection:
        rows = await connection.fetch("SELECT urgent FROM outbox WHERE tenant_id = $1", tenant)
    assert [row["urgent"] for row in rows] == [True]


@pytest.mark.parametrize("origin", ["*", "null", "https://app.example.com/", "https://*.com", 7, "", "x" * 301, None])
async def test_a_bad_origin_is_refused_with_a_reason_and_changes_nothing(
    users: RunningService, headers: Headers, tenant: str, origin: Any
) -> None:
    status, problem = await add(users, headers, origin)
    assert status == 400
    assert "origin" in problem["detail"]
    assert await origins_in_memory(users, tenant) == []
    assert await users.outbox(tenant) == []


async def test_the_same_origin_in_another_spelling_is_a_conflict(users: RunningService, headers: Headers) -> None:
    assert (await add(users, headers, "https://Bücher.example"))[0] == 201
    status, problem = await add(users, headers, "https://xn--bcher-kva.example:443")
    assert (status, problem["code"]) == (409, "origin_exists")


async def test_origins_are_listed_in_pages_up_to_the_maximum(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    for number in range(MAX_ORIGINS):
        assert (await add(users, headers, f"https://app{number}.example.com"))[0] == 201
    status, problem = await add(users, headers, APP)
    assert (status, problem["code"]) == (409, "too_many_origins")
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"count": "20", "cursor": cursor}
        page = await (await users.client.get("/users/origins", headers=headers, query_string=query)).get_json()
        found += [one["origin"] for one in page["origins"]]
        cursor = page["next"]
    assert found == [f"https://app{number}.example.com" for number in range(MAX_ORIGINS)]
    assert await origins_in_memory(users, tenant) == found


async def test_of_many_who_add_at_once_none_is_lost(users: RunningService, headers: Headers, tenant: str) -> None:
    sent = [f"https://app{number}.example.com" for number in range(8)]
    assert [status for status, _ in await asyncio.gather(*(add(users, headers, one) for one in sent))] == [201] * 8
    assert sorted(await origins_in_memory(users, tenant)) == sent
    newest = max(await users.outbox(tenant), key=lambda event: event.data["version"])
    assert sorted(newest.data["origins"]) == sent


async def test_the_scope_is_needed_and_tenants_are_apart(users: RunningService, headers: Headers) -> None:
    _, made = await add(users, headers, APP)
    poor = users.tokens.headers(new_tenant(), ["tenant:admin"])
    assert (await add(users, poor, APP))[0] == 403
    assert (await users.client.get("/users/origins", headers=poor)).status_code == 403
    stranger = users.tokens.headers(new_tenant(), ["origins:manage"])
    assert (await users.client.delete(f"/users/origins/{made['id']}", headers=stranger)).status_code == 404
    assert (await add(users, stranger, APP))[0] == 201


async def test_a_page_can_read_login_and_token_responses_from_an_origin_of_any_tenant(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    origin = f"https://{tenant}.example.com"
    await add(users, headers, origin)
    await users.container.origins.refresh()
    body = {"tenant": tenant, "user_name": "nobody", "password": "wrong"}
    login = await users.client.post("/users/login", headers={"Origin": origin}, json=body)
    token = await users.client.post("/oauth2/token", headers={"Origin": origin}, form={"grant_type": "refresh_token"})
    for answer in (login, token):
        assert answer.status_code in {400, 401}
        assert answer.headers["Access-Control-Allow-Origin"] == origin
