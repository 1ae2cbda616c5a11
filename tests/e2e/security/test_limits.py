"""Limits through the proxy: what each service says of them, and that guesses are on record and counted."""

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_testing.attacks import Stranger
from quartet_testing.client import Api, TokenFor, unique
from quartet_testing.conditions import eventually
from quartet_testing.faults import measured

pytestmark = pytest.mark.local_stack

PATHS = [
    "/scim/v2/Users",
    "/scim/v2/Groups",
    "/users/schemas",
    "/groups/of/nobody",
    "/audit/events",
    "/metrics/catalog",
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_service_says_what_a_client_has_left(api: Api, path: str) -> None:
    answers = [await api.get(path) for _ in range(2)]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"client";q=100000;w=10'}
    assert all(answer.headers["RateLimit"].startswith('"client";r=99') for answer in answers)


async def test_without_a_token_the_address_has_so_much_left(stranger: Stranger) -> None:
    for path in ("/scim/v2/ServiceProviderConfig", "/scim/v2/Users", "/audit/openapi.json"):
        answer = await stranger.http.get(path)
        assert answer.headers["RateLimit-Policy"] == '"address";q=100000;w=10'
    assert "RateLimit" not in (await stranger.http.get("/users/health/live")).headers


async def guess(client: httpx.AsyncClient, name: str) -> httpx.Response:
    wrong = {"tenant": "acme", "user_name": name, "password": "a wrong guess"}
    return await client.post("/users/login", json=wrong)


async def test_who_guesses_passwords_waits_and_it_is_counted_and_on_record(
    stack: Stack, stranger: Stranger, api: Api, token_for: TokenFor
) -> None:
    name, counter = unique("victim"), "quartet_limits_refused_total"
    before = await measured(stack, "users-api", counter, limit="login")
    answers = [await guess(stranger.http, name) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 2
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 2
    assert answers[-1].json()["code"] == "too_many_requests"
    assert (await guess(api, name)).status_code == 401, "from another address one may try"
    assert await measured(stack, "users-api", counter, limit="login") >= before + 2
    async with Api(stack.url, await token_for("quartet", "audit:read")) as auditor:

        async def told() -> bool:
            entries = await auditor.entries(action="users.request.limited")
            mine = [one for one in entries if one["source_address"] == stranger.address]
            return bool(sum(one["data"]["count"] for one in mine if one["data"]["limit"] == "login") == 2)

        await eventually(told, "the guesses are in the log")
