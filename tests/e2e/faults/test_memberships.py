"""Checks of memberships stay right whatever happens to Redis."""

import asyncio

import pytest
import redis.asyncio

from quartet_cli.stack import Stack
from quartet_testing.client import Api
from quartet_testing.faults import back, kill, paused, pid, replaced, stopped
from quartet_testing.memberships import disturbed_writers, writing

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]


def cache(stack: Stack) -> redis.asyncio.Redis:
    """The stack's Redis, as the groups service reaches it."""
    password = (stack.home.secrets / "groups/quartet_redis_password").read_text().strip()
    return redis.asyncio.Redis.from_url(stack.environment("groups", "api")["QUARTET_REDIS_URL"], password=password)


async def test_checks_are_right_at_once_without_redis(api: Api, stack: Stack) -> None:
    async with stopped(stack, "redis"):
        await disturbed_writers(api, 4)
    await disturbed_writers(api, 4)


async def test_checks_are_right_and_fast_while_redis_does_not_answer(api: Api, stack: Stack) -> None:
    async with paused(stack, "redis"):
        await disturbed_writers(api, 4)
    await disturbed_writers(api, 4)


async def test_checks_are_right_at_once_while_redis_is_flushed_and_killed(api: Api, other: Api, stack: Stack) -> None:
    async with writing([api, other]):
        async with cache(stack) as client:
            for _ in range(10):
                await client.flushall()
                await asyncio.sleep(0.05)  # nothing is waited for: the flushes are to be spread over the writes
        old = pid(stack, "redis")
        await kill(stack, "redis")
        await replaced(stack, "redis", old)
    await back(stack)
