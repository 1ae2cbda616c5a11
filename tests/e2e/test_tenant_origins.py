"""Origins of tenants: pages read responses of every service from allowed ones only, and changes apply within 5 s."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_testing.browser import ProbingPage, find_chromium, shown_in_chromium
from quartet_testing.client import USERS, Api, unique
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import back, stopped

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

ORIGINS = "/users/origins"
SOON = 5.0
"""Seconds within which a change applies everywhere."""
READ = {"users": USERS, "groups": "/scim/v2/Groups", "audit": "/audit/events", "metrics": "/metrics/catalog"}
"""A route of each service."""
LOGIN = {"tenant": "none"}
"""A login without a name: a 400, which no lockout counts."""


def probes(stack: Stack, own: Api, other: Api) -> list[tuple[str, str, dict[str, Any]]]:
    """Requests with a token to each service, one with the token of another tenant, and a login."""
    token, foreign = ({"headers": {"Authorization": api.headers["Authorization"]}} for api in (own, other))
    body = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": json.dumps(LOGIN)}
    return [
        *((service, stack.url + path, token) for service, path in READ.items()),
        ("another tenant", stack.url + USERS, foreign),
        ("login", f"{stack.url}/users/login", body),
    ]


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome")
async def test_pages_in_a_browser_read_responses_while_their_origin_is_allowed(
    stack: Stack, api: Api, other: Api, tmp_path: Path
) -> None:
    blocked = dict.fromkeys([*READ, "another tenant", "login"])
    readable = {**dict.fromkeys(READ, 200), "another tenant": None, "login": 400}
    with ProbingPage() as page, ProbingPage() as elsewhere:
        page.probes = elsewhere.probes = probes(stack, api, other)
        page.frame = elsewhere
        async with shown_in_chromium(find_chromium() or "", tmp_path, page):
            await page.reach(blocked, "no origin is allowed by default", PATIENCE)
            await elsewhere.reach(blocked, "the other page runs too", PATIENCE)
            made = await api.post(ORIGINS, json={"origin": page.origin})
            assert made.status_code == 201, made.text
            await page.reach(readable, "the page reads responses to tokens of its tenant, and of logins", SOON)
            elsewhere.results = {}
            await elsewhere.reach(blocked, "a page of another origin reads nothing", PATIENCE)
            assert (await api.delete(f"{ORIGINS}/{made.json()['id']}")).status_code == 204
            await page.reach(blocked, "the page of the removed origin reads nothing", SOON)


async def preflights(stack: Stack, origin: str) -> dict[str, str | None]:
    """The Access-Control-Allow-Origin of a preflight of each service."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        answers = {service: await client.options(path, headers=headers) for service, path in READ.items()}
    return {service: answer.headers.get("Access-Control-Allow-Origin") for service, answer in answers.items()}


async def allowed(stack: Stack, origin: str, services: set[str], timeout: float) -> None:
    """Wait until the preflights of exactly these services allow the origin."""
    expected = {service: origin if service in services else None for service in READ}

    async def probe() -> bool:
        found = await preflights(stack, origin)
        assert found == expected, found
        return True

    await eventually(probe, f"{origin} is allowed by {sorted(services)}", timeout)


async def test_a_change_while_rabbitmq_is_away_arrives_when_it_is_back_and_stays_after_restarts(
    stack: Stack, api: Api
) -> None:
    origin = f"https://{unique('app')}.example.com"
    async with stopped(stack, "rabbitmq"):
        made = await api.post(ORIGINS, json={"origin": origin})
        assert made.status_code == 201, made.text
        await allowed(stack, origin, {"users"}, SOON)
    await back(stack)
    await allowed(stack, origin, set(READ), PATIENCE)
    for service in SERVICES:
        await asyncio.to_thread(stack.restart, service)
    await back(stack)
    assert set((await preflights(stack, origin)).values()) == {origin}
    assert (await api.delete(f"{ORIGINS}/{made.json()['id']}")).status_code == 204
    await allowed(stack, origin, set(), SOON)


async def test_a_wildcard_is_for_subdomains_and_each_change_is_an_entry_of_the_log(stack: Stack, api: Api) -> None:
    domain = f"{unique('acme')}.example.com"
    made = (await api.post(ORIGINS, json={"origin": f"https://*.{domain}"})).json()
    await allowed(stack, f"https://a.b.{domain}", set(READ), SOON)
    await allowed(stack, f"https://{domain}", set(), SOON)
    assert (await api.delete(f"{ORIGINS}/{made['id']}")).status_code == 204
    await allowed(stack, f"https://a.b.{domain}", set(), SOON)
    for action in ("added", "removed"):
        [entry] = await eventually(lambda kind=action: api.entries(action=f"users.origin.{kind}"), "the entry")  # type: ignore[misc]
        assert entry["data"]["origin"] == f"https://*.{domain}"
