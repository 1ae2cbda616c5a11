"""A token that is revoked is refused by every service, whatever stops and starts meanwhile."""

import asyncio
from collections.abc import Iterable

import httpx
import pytest

from quartet_cli import tokens
from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_testing.client import Api, TokenFor
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import back, stopped
from quartet_testing.services import new_tenant

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

SOON = 10.0
"""Seconds; what it really takes is measured by bench/revocations.py."""


async def statuses(stack: Stack, token: str) -> dict[str, int]:
    """What each service answers to who brings the token."""
    async with Api(stack.url, token) as api:
        return {service: (await api.get(f"/{service}/rabbitmq/outbox")).status_code for service in SERVICES}


async def refused(stack: Stack, token: str, by: Iterable[str] = SERVICES, timeout: float = SOON) -> None:
    """Wait until each of the services refuses the token."""

    async def probe() -> bool:
        found = await statuses(stack, token)
        assert {found[service] for service in by} == {401}, found
        return True

    await eventually(probe, "the token is refused everywhere", timeout)


async def revoke(stack: Stack, token: str) -> None:
    """End the token, as the client that it was given to (RFC 7009)."""
    secret = tokens.own_secret(stack.home)
    async with httpx.AsyncClient(base_url=stack.url, auth=(tokens.CLIENT, secret), trust_env=False) as client:
        assert (await client.post("/oauth2/revoke", data={"token": token})).status_code == 200


@pytest.fixture
async def token(token_for: TokenFor) -> str:
    """A token of a tenant of the test's own."""
    return await token_for(new_tenant(), "events:manage audit:read")


async def test_every_service_refuses_it_and_goes_on_refusing_it_after_a_restart(
    stack: Stack, token: str, token_for: TokenFor
) -> None:
    async with Api(stack.url, token) as api:
        tenant = new_tenant()
        assert (await api.get("/audit/events")).status_code == 200
    assert set((await statuses(stack, token)).values()) == {200}
    await revoke(stack, token)
    await refused(stack, token)
    for service in SERVICES:
        await asyncio.to_thread(stack.restart, service)
    await back(stack)
    assert set((await statuses(stack, token)).values()) == {401}
    assert set((await statuses(stack, await token_for(tenant, "events:manage"))).values()) == {200}


async def test_it_is_one_entry_of_the_audit_log_and_counted_once(stack: Stack, token_for: TokenFor) -> None:
    tenant = new_tenant()
    ended, auditing = await token_for(tenant, "events:manage"), await token_for(tenant)
    await revoke(stack, ended)
    await refused(stack, ended)
    async with Api(stack.url, auditing) as api:
        [entry] = await eventually(lambda: api.entries(action="users.token.revoked"), "the entry")
        assert entry["data"]["kind"] == "token"
        assert ended not in str(entry)
        await api.counted("users.token.revoked", 1)


@pytest.mark.slow
async def test_without_rabbitmq_users_refuses_it_at_once_and_the_others_when_it_is_back(
    stack: Stack, token: str
) -> None:
    async with stopped(stack, "rabbitmq"):
        await revoke(stack, token)
        async with Api(stack.url, token) as api:

            async def users_refuses() -> bool:
                return (await api.get("/scim/v2/Users")).status_code == 401

            await eventually(users_refuses, "users refuses it")
            assert (await api.get("/audit/events")).status_code == 200, "nobody has told it yet"
    await refused(stack, token, timeout=PATIENCE)


async def test_a_service_whose_worker_was_away_learns_of_it_afterwards(stack: Stack, token: str) -> None:
    async with stopped(stack, "groups-worker"):
        await revoke(stack, token)
        await refused(stack, token, ("users", "audit", "metrics"))
        assert (await statuses(stack, token))["groups"] == 200, "nobody has told it yet"
    await refused(stack, token, timeout=PATIENCE)
