"""A RabbitMQ with an alarm (no memory, no disk): publishing waits, says so, and goes on without a loss or a double."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import aio_pika
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection
from quartet_common.messaging import dead_letters
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.publisher import INTERVAL
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.subscriptions import Subscription
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import alarm
from quartet_testing.messaging import NAMES, Container, add, put_batch, running, taken_from
from quartet_testing.services import new_tenant


async def put(container: Container) -> None:
    """What an operator's call does."""
    async with container.broker.connection("operator") as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"{}"), NAMES.dead, timeout=0.2)


async def test_an_alarm_of_rabbitmq_is_waited_for_and_loses_and_doubles_nothing(
    container: Container,
    channel: aio_pika.abc.AbstractChannel,
    servers: Stack,
    event: Callable[..., Event],
    thing: Callable[..., DomainEvent],
    totals: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("quartet_common.messaging.publisher.CONFIRM_TIMEOUT", 3 * INTERVAL)
    received, alarmed = asyncio.Event(), asyncio.Event()

    async def refuse(_: Connection, events: Sequence[Event]) -> None:
        if any(event.subject == "bad" for event in events):
            received.set()
            await alarmed.wait()
            raise ValueError("the handler cannot do that")

    relay = Relay(container.config, container.broker, OutboxStats())
    subscriptions = [Subscription("common.#", refuse)]
    consumer = Consumer("common", container.broker, container.database, subscriptions, totals)

    async def consumes() -> bool:
        return consumer.connected

    async with running(relay, consumer):
        await eventually(consumes, "the consumer to be connected")
        await channel.default_exchange.publish(aio_pika.Message(encode(event(new_tenant(), subject="bad"))), NAMES.main)
        await asyncio.wait_for(received.wait(), PATIENCE)
        async with alarm(servers):
            alarmed.set()
            things = [thing(str(number)) for number in range(30)]
            await add(container, new_tenant(), things)
            blocked_since = time.monotonic()

            async def both_are_blocked() -> bool:  # the consumer cannot delay the bad event
                nonlocal blocked_since
                if not (relay.is_blocked and consumer.is_blocked):
                    blocked_since = time.monotonic()
                return time.monotonic() - blocked_since > 3 * INTERVAL  # an alarm may last longer than a confirm may

            await eventually(both_are_blocked, "RabbitMQ to block the relay and the consumer", PATIENCE)
            with pytest.raises(UnavailableError, match="rabbitmq does not answer, or has an alarm"):
                await put(container)
            assert relay.is_blocked
            assert consumer.connected
        await totals.reach(31)
        assert totals.results["handled"] == 30
        assert set(totals.results) == {"handled", "delayed"}  # and none is a duplicate
        assert (relay.is_blocked, consumer.is_blocked) == (False, False)


async def test_dead_letters_of_deleted_tenants_are_dropped_after_an_alarm_and_nothing_hangs_meanwhile(
    container: Container,
    channel: aio_pika.abc.AbstractChannel,
    servers: Stack,
    event: Callable[..., Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_letters, "CONFIRM_TIMEOUT", 0.2)
    deleted, other = new_tenant(), new_tenant()
    await put_batch(channel, [encode(event(deleted)), encode(event(other))], NAMES.dead)
    async with alarm(servers):
        with pytest.raises(UnavailableError, match="rabbitmq"):
            await asyncio.wait_for(dead_letters.drop(container.broker, [NAMES], [deleted]), 20)
    dropped: list[int] = []

    async def is_dropped() -> bool:
        dropped.append((await dead_letters.drop(container.broker, [NAMES], [deleted])).get(deleted, 0))
        return sum(dropped) == 1

    await eventually(is_dropped, "the event of the deleted tenant is dropped")
    assert dead_letters.is_of(await taken_from(channel, NAMES.dead), other)
