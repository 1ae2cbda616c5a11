"""Relay and consumer are stopped: they end soon, whatever does not end, and what was not done comes again."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from quartet_cli.stack import Stack
from quartet_common.data.connections import Connection
from quartet_common.messaging import batches as batching
from quartet_common.messaging import session as sessions
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.session import Session
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    Thing,
    add,
    consumer_of,
    drained,
    left,
    messages_in,
    relay_of,
    running,
)
from quartet_testing.services import new_tenant


async def test_a_relay_that_is_stopped_ends_after_the_message_under_way(
    container: Container, channel: Channel, thing: Thing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH", 20)
    publish = Relay._publish

    async def stop_and_publish(relay: Relay, rows: Sequence[Any]) -> Any:
        relay.stop()
        return await publish(relay, rows)

    monkeypatch.setattr(Relay, "_publish", stop_and_publish)
    await add(container, new_tenant(), [thing(str(number)) for number in range(200)])
    await asyncio.wait_for(relay_of(container).run(), 10)
    await left(container, 180)
    assert await messages_in(channel, NAMES.main) == 1


async def test_a_consumer_is_stopped_while_its_transactions_contend_without_end(
    container: Container, channel: Channel, thing: Thing, totals: Any
) -> None:
    tries = 0

    async def contend(_: Connection, events: Sequence[Event]) -> None:
        nonlocal tries
        tries += 1
        raise asyncpg.DeadlockDetectedError("deadlock detected")

    async def has_tried_again() -> bool:
        return tries >= 2

    await add(container, new_tenant(), [thing("one")])
    async with running(relay_of(container)):
        await drained(container)
    consumer = consumer_of(container, contend, totals)
    task = asyncio.create_task(consumer.run())
    await eventually(has_tried_again, "the transaction to be tried again")
    consumer.stop()
    _, pending = await asyncio.wait([task], timeout=5)
    task.cancel()
    assert not pending
    assert totals.results == {}

    async def is_back() -> bool:
        return await messages_in(channel, NAMES.main) == 1

    await eventually(is_back, "the message to be in the queue again")


async def test_a_consumer_that_no_longer_wants_messages_does_not_wait_for_a_rabbitmq_that_hangs(
    container: Container, channel: Channel, servers: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ANSWER_TIMEOUT", 0.3)
    session = Session(channel, channel, await channel.get_queue(NAMES.main), asyncio.Event())
    await session.consume()
    async with paused(servers, "rabbitmq"):
        cancelling = asyncio.create_task(session.cancel())
        await asyncio.wait([cancelling], timeout=5)
        assert cancelling.done()
    with pytest.raises(TimeoutError):
        await cancelling
