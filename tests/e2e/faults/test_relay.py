"""The relay dies, stops or is doubled: nothing is lost, doubled, or out of order."""

import asyncio
from functools import partial

import pytest

from quartet_cli.stack import Stack
from quartet_common.data.connections import Connection
from quartet_testing.bursts import CREATED, Burst, arrived_exactly_once
from quartet_testing.client import USERS, Api, Document, user_document
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import (
    answers_ready,
    back,
    database,
    kill,
    measured,
    paused,
    second_worker,
    somebody_waits,
    told_to_stop,
)

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

RELAY = "users-worker"
HOLD_ALL = "SELECT FROM outbox FOR UPDATE"
END_DELETE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM outbox%' AND pid <> pg_backend_pid()"
)


@pytest.mark.slow
async def test_a_relay_that_is_killed_again_and_again_in_a_burst_loses_and_doubles_nothing(
    api: Api, stack: Stack
) -> None:
    users: list[Document] = []
    for _ in range(3):
        burst = Burst(api, 75)
        await burst.reached(25)
        await kill(stack, RELAY)
        users += await burst.done()
        await back(stack, RELAY)
    await arrived_exactly_once(api, users)


async def test_events_that_a_killed_relay_had_published_but_not_removed_have_their_effect_once(
    api: Api, stack: Stack
) -> None:
    doubled = {name: await doubles(stack, name) for name in ("audit-worker", "metrics-worker")}
    async with database(stack, "users") as connection:
        await eventually(partial(is_empty, connection), "an empty outbox")  # a paused relay may not hold rows
        async with paused(stack, RELAY):
            users = await Burst(api, 40).done()
            holding = connection.transaction()
            await holding.start()
            await connection.execute(HOLD_ALL)
        await somebody_waits(connection, "DELETE FROM outbox")  # so all of them were published and confirmed
        await kill(stack, RELAY)
        await connection.execute(END_DELETE)  # the server would else still finish what the dead relay had sent
        await holding.rollback()
    await back(stack, RELAY)
    await arrived_exactly_once(api, users)
    for name, before in doubled.items():
        await eventually(partial(came_twice, stack, name, before + 40), f"doubles at {name}")


async def is_empty(connection: Connection) -> bool:
    """Whether the outbox has no rows."""
    return bool(await connection.fetchval("SELECT count(*) FROM outbox") == 0)


async def doubles(stack: Stack, name: str) -> float:
    """How many events a worker has recognised as seen before."""
    return await measured(stack, name, "quartet_consumer_events_total", result="duplicate")


async def came_twice(stack: Stack, name: str, number: float) -> bool:
    """Whether so many doubles were recognised."""
    return await doubles(stack, name) >= number


async def test_a_relay_that_stops_finishes_what_it_has_published(api: Api, stack: Stack) -> None:
    async with database(stack, "users") as connection:
        await eventually(partial(is_empty, connection), "an empty outbox")  # a paused relay may not hold rows
        async with paused(stack, RELAY):
            users = await Burst(api, 40).done()
            holding = connection.transaction()
            await holding.start()
            await connection.execute(HOLD_ALL)
        await somebody_waits(connection, "DELETE FROM outbox")
        stopping = asyncio.create_task(asyncio.to_thread(stack.stop, RELAY))
        await told_to_stop(stack, RELAY)
        await holding.rollback()
        await stopping
        assert await connection.fetchval("SELECT count(*) FROM outbox") == 0
    await asyncio.to_thread(stack.start, RELAY)
    await arrived_exactly_once(api, users)


async def test_two_relays_side_by_side_double_nothing_and_keep_the_order_even_when_one_is_killed(
    api: Api, stack: Stack
) -> None:
    changes = 8
    with second_worker(stack, "users") as ready:
        await answers_ready(ready)
        doubled = await doubles(stack, "metrics-worker")
        users = await Burst(api, 12).done()
        await api.counted(CREATED, len(users), PATIENCE)
        assert await doubles(stack, "metrics-worker") == doubled, "the second one stands by while the first one works"
        changing = asyncio.gather(*(change(api, user, changes) for user in users))
        await eventually(lambda: api.count("users.user.updated"), "the first changes")
        await kill(stack, RELAY)
        await changing
        # counted before the supervised worker is waited for: the second one has taken over
        await api.counted("users.user.updated", changes * len(users), PATIENCE)
        await back(stack, RELAY)
    await arrived_exactly_once(api, users)
    for user in users:
        logged = sorted(await api.entries(resource=user["id"]), key=lambda entry: entry["sequence"])
        names = [entry["data"]["displayName"] for entry in logged]
        assert names == [None, *(str(number) for number in range(changes))], f"{CREATED} and its changes, in order"


async def change(api: Api, user: Document, times: int) -> None:
    """Rename a user again and again."""
    for number in range(times):
        document = user_document(userName=user["userName"], displayName=str(number))
        assert (await api.put(f"{USERS}/{user['id']}", json=document)).status_code == 200
