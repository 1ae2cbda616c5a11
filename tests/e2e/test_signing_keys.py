"""An emergency: the signing key is replaced at once, on a stack of the test's own, since every token ends by it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api
from quartet_testing.conditions import eventually

pytestmark = pytest.mark.local_stack

PATHS = (USERS, GROUPS, "/audit/events", "/metrics/catalog")
"""A route of each service."""


@pytest.fixture
async def own() -> AsyncIterator[Stack]:
    """A whole stack that no other test uses."""
    with tempfile.TemporaryDirectory(prefix="quartet-keys-", ignore_cleanup_errors=True) as home:
        running = Stack(Path(home), None, temporary=True)
        try:
            await asyncio.to_thread(running.up)
            yield running
        finally:
            await asyncio.to_thread(running.down)
            remove(running.home)


@pytest.mark.slow
async def test_no_service_believes_what_a_withdrawn_key_has_signed_and_all_go_on_with_the_new_one(own: Stack) -> None:
    old = await asyncio.to_thread(own.token, "acme")
    operator = await asyncio.to_thread(own.token, "quartet", "platform:admin")
    async with Api(own.url, old) as before, Api(own.url, operator) as platform:
        for path in PATHS:
            assert await answers(before, path, 200)
        assert (await platform.post("/users/keys/rotate?now=true")).status_code == 200
        async with Api(own.url, await asyncio.to_thread(own.token, "acme")) as after:
            for path in PATHS:
                await eventually(partial(answers, after, path, 200), f"the new token at {path}", 10)
                await eventually(partial(answers, before, path, 401), f"no old token at {path}", 45)
            await services_go_on(after)


async def services_go_on(api: Api) -> None:
    """Groups asks users about a member, and users asks groups about a group, each with a token of its own."""
    group = await api.create_group([(await api.create_user())["id"]])
    made = await api.post("/users/roles", json={"name": "Auditor", "scopes": ["audit:read"]})
    grant = {"type": "Group", "id": group["id"]}
    answer: httpx.Response = await api.post(f"/users/roles/{made.json()['id']}/grants", json=grant)
    assert answer.status_code == 201, answer.text


async def answers(api: Api, path: str, status: int) -> bool:
    """Whether a service answers with that status."""
    found = (await api.get(path)).status_code
    assert found == status, found
    return True
