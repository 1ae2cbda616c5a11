"""Consumers die or stop in the middle of their work: each event still has its effect exactly once."""

import asyncio

import pytest

from quartet_cli.stack import Stack
from quartet_testing.bursts import Burst, arrived_exactly_once
from quartet_testing.client import Api, Document
from quartet_testing.conditions import eventually
from quartet_testing.faults import back, database, kill, measured, somebody_waits, told_to_stop

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

WORKER = "audit-worker"
HOLD_ALL = "LOCK TABLE logs IN SHARE MODE"
"""Lets everybody read, and the audit worker wait with its batch before anything is committed."""


@pytest.mark.slow
async def test_consumers_that_are_killed_again_and_again_in_a_burst_lose_and_double_nothing(
    api: Api, stack: Stack
) -> None:
    users: list[Document] = []
    for _ in range(3):
        burst = Burst(api, 100)
        await burst.reached(40)
        await asyncio.gather(kill(stack, WORKER), kill(stack, "metrics-worker"))
        users += await burst.done()
        await back(stack, WORKER, "metrics-worker")
    await arrived_exactly_once(api, users)


async def test_a_consumer_that_is_killed_before_its_commit_gets_the_batch_again(api: Api, stack: Stack) -> None:
    async with database(stack, "audit") as connection:
        async with connection.transaction():
            await connection.execute(HOLD_ALL)
            users = await Burst(api, 40).done()
            await somebody_waits(connection, "lock_logs")
            await kill(stack, WORKER)
        assert await api.entries(resource=users[-1]["id"]) == []
    await back(stack, WORKER)
    await arrived_exactly_once(api, users)


async def test_a_consumer_that_stops_commits_and_acknowledges_its_batch(api: Api, stack: Stack) -> None:
    async with database(stack, "audit") as connection:
        holding = connection.transaction()
        await holding.start()
        await connection.execute(HOLD_ALL)
        users = await Burst(api, 40).done()
        await eventually(lambda: queued(api), "events in the queue")
        await somebody_waits(connection, "lock_logs")
        stopping = asyncio.create_task(asyncio.to_thread(stack.stop, WORKER))
        await told_to_stop(stack, WORKER)
        await holding.rollback()
        await stopping
    recorded = await api.entries(action="users.user.created")
    assert recorded
    await asyncio.to_thread(stack.start, WORKER)
    await arrived_exactly_once(api, users)
    assert await measured(stack, WORKER, "quartet_consumer_events_total", result="duplicate") == 0


async def queued(api: Api) -> bool:
    """Whether the relay has nothing left."""
    return bool((await api.get("/users/rabbitmq/outbox")).json()["depth"] == 0)
