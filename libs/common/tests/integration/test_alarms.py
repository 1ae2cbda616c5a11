"""A RabbitMQ with an alarm (no memory, no disk): publishing waits, says so, and goes on without a loss or a double."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import aio_pika
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection
from quartet_common.messaging import redrive, redrive_store
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.dead_letter_store import Selection
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.publisher import INTERVAL
from quartet_common.messaging.redrive import RedriveSender
from quartet_common.messaging.redrive_store import Redrive
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime.dead_letter_usecases import create_redrive
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import alarm
from quartet_testing.messaging import NAMES, Container, add, running, store_dead_letters, taken_from
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


async def test_a_redrive_waits_for_the_end_of_an_alarm_and_nothing_hangs_meanwhile(
    container: Container,
    channel: aio_pika.abc.AbstractChannel,
    servers: Stack,
    event: Callable[..., Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redrive, "CONFIRM_TIMEOUT", 0.2)
    tenant = new_tenant()
    failed = event(tenant)
    await channel.default_exchange.publish(aio_pika.Message(encode(failed)), NAMES.dead)
    await store_dead_letters(container, "common")
    made = await create_redrive(container, Caller(tenant, "operator"), tenant, Selection(), 500, 1)
    sender = RedriveSender("common", container.broker, lambda: container.database, container.clock)
    async with alarm(servers):

        async def is_refused() -> bool:
            try:
                await asyncio.wait_for(sender.run(), 20)
            except UnavailableError as error:
                return error.server == "rabbitmq"
            return False

        await eventually(is_refused, "RabbitMQ to confirm nothing")
    assert (await progress(container, made.id)).sent == 0

    async def is_sent() -> bool:
        with contextlib.suppress(UnavailableError):
            await sender.run()
        return (await progress(container, made.id)).sent == 1

    await eventually(is_sent, "the dead letter to be sent")
    assert (await taken_from(channel, NAMES.main)).body == encode(failed)


async def progress(container: Container, redrive_id: UUID) -> Redrive:
    async with container.database.connection() as connection:
        found = await redrive_store.read_redrive(connection, None, redrive_id)
    assert found is not None
    return found
