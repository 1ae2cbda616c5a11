"""Redis goes away: everything works."""

import asyncio

import pytest

from quartet_cli.stack import Stack
from quartet_testing.bursts import Burst, arrived_exactly_once
from quartet_testing.client import GROUPS, USERS, Api, TokenFor, user_document
from quartet_testing.faults import paused, pids, stopped
from quartet_testing.services import new_tenant

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

SERVICES = ("users", "groups", "audit", "metrics")


async def everything_works(api: Api, stack: Stack, token_for: TokenFor) -> None:
    """Tokens, writes, reads, events and health."""
    users = await Burst(api, 20).done()
    group = await api.create_group([user["id"] for user in users])
    assert len((await api.get(f"{GROUPS}/{group['id']}")).json()["members"]) == 20
    document = user_document(userName=users[0]["userName"], displayName="Barbara")
    assert (await api.put(f"{USERS}/{users[0]['id']}", json=document)).status_code == 200
    await arrived_exactly_once(api, users)
    async with Api(stack.url, await token_for(new_tenant())) as newcomer:
        assert (await newcomer.get(USERS)).json()["totalResults"] == 0
    for service in SERVICES:
        assert (await api.get(f"/{service}/health/ready")).status_code == 200


async def test_without_redis_everything_works(api: Api, stack: Stack, token_for: TokenFor) -> None:
    before = pids(stack)
    async with stopped(stack, "redis"):
        await everything_works(api, stack, token_for)
    after = pids(stack)
    assert {name for name in before if before[name] != after[name]} == {"redis"}


async def test_with_a_redis_that_does_not_answer_everything_works(api: Api, stack: Stack, token_for: TokenFor) -> None:
    async with paused(stack, "redis"):
        await everything_works(api, stack, token_for)


async def test_a_service_starts_without_redis(api: Api, stack: Stack) -> None:
    async with stopped(stack, "redis"):
        await asyncio.to_thread(stack.restart, "users")
        users = await Burst(api, 10).done()
        await arrived_exactly_once(api, users)
