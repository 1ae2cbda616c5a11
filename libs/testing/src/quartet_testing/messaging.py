"""Messaging in tests: relays and consumers of the service `common` in this process, and what they have done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging import outbox
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.dead_letters import DeadLetters
from quartet_common.messaging.deliveries import DELIVERIES_HEADER
from quartet_common.messaging.envelope import BATCH_CONTENT_TYPE, Event, encode_batch
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats, read_outbox, read_queues
from quartet_common.messaging.subscriptions import Handler, Subscription
from quartet_common.messaging.topology import EVENTS_HEADER, EXCHANGE, QueueNames
from quartet_common.runtime.container import AppContainer
from quartet_testing.conditions import PATIENCE, eventually

Channel = AbstractChannel
Container = AppContainer[ServiceConfig]
MakeEvent = Callable[..., Event]
Thing = Callable[..., DomainEvent]
NAMES = QueueNames("common")
SOMEBODY_ELSES = ("quartet.audit", "quartet.metrics")
"""Queues that take every event, when their services' tests have run before."""


class Recording:
    """A handler that keeps what it has handled, and refuses events whose subject is `bad`."""

    def __init__(self) -> None:
        self.calls: list[list[Event]] = []

    async def __call__(self, _: Connection, events: Sequence[Event]) -> None:
        if any(event.subject == "bad" for event in events):
            raise ValueError("the handler cannot do that")
        self.calls.append(list(events))

    @property
    def subjects(self) -> list[str]:
        """Of all events handled, in their order."""
        return [event.subject for call in self.calls for event in call]


@asynccontextmanager
async def running(*parts: Relay | Consumer) -> AsyncIterator[None]:
    """The parts run inside the block, and are stopped gracefully after it.

    Raises AssertionError if one does not stop: it is cancelled, since it would take the messages of other tests.
    """
    tasks = [asyncio.ensure_future(part.run()) for part in parts]
    try:
        yield
    finally:
        for part in parts:
            part.stop()
        _, running_on = await asyncio.wait(tasks, timeout=PATIENCE)
        for task in running_on:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=bool(running_on))
        assert not running_on, f"{running_on} did not stop within {PATIENCE} s"


def relay_of(container: Container) -> Relay:
    """As the worker has it."""
    return Relay(container.config, container.broker, OutboxStats())


def consumer_of(container: Container, handler: Handler, totals: Any) -> Consumer:
    """A consumer of the service's queue that gives `handler` all events of the service."""
    return Consumer("common", container.broker, container.database, [Subscription("common.#", handler)], totals)


async def add(container: Container, tenant: str, events: Sequence[DomainEvent]) -> None:
    """Write the events into the outbox, in a transaction of their own."""
    async with container.database.transaction() as connection:
        await outbox.add(connection, Caller(tenant, "tester"), events, now=container.clock(), service="common")


async def drained(container: Container) -> None:
    """Wait until the outbox is empty."""
    await left(container, 0)


async def left(container: Container, number: int, timeout: float = PATIENCE) -> None:
    """Wait until so many events are in the outbox, `timeout` seconds at most."""

    async def counted() -> bool:
        async with container.database.connection() as connection:
            return (await read_outbox(connection)).depth == number

    await eventually(counted, f"{number} events are in the outbox", timeout)


async def put_batch(channel: Channel, bodies: Sequence[bytes], queue: str = NAMES.main, *, deliveries: int = 0) -> None:
    """Put one batch into a queue, by default the service's, as if it had been delivered so often without an answer."""
    headers: dict[str, Any] = {EVENTS_HEADER: len(bodies), "CC": ["nobody.listens"], DELIVERIES_HEADER: deliveries}
    message = Message(encode_batch(bodies), content_type=BATCH_CONTENT_TYPE, message_id="the-batch", headers=headers)
    await channel.default_exchange.publish(message, queue)


async def taken_from(channel: Channel, name: str) -> AbstractIncomingMessage:
    """The message that is in that queue, as soon as there is one."""
    queue = await channel.get_queue(name)

    async def found() -> AbstractIncomingMessage | None:
        return await queue.get(no_ack=True, fail=False)

    message = await eventually(found, f"a message is in {name}")
    assert message is not None
    return message


async def store_dead_letters(container: AppContainer[Any], *consumers: str) -> None:
    """Store the dead letters that wait in the queues of `consumers`, as a worker does."""
    names = [QueueNames(one).dead for one in consumers]
    async with container.broker.connection("test") as connection:
        queues = await read_queues(connection, names)
        await DeadLetters(consumers).take(connection, container.database, queues)


async def messages_in(channel: Channel, name: str) -> int:
    """How many messages wait in that queue; those in a consumer's hand are not among them."""
    declared = await (await channel.get_queue(name)).declare()
    return declared.message_count or 0


@asynccontextmanager
async def without_queues_that_take_everything(container: Container) -> AsyncIterator[None]:
    """Unbinds the queues of services that consume `#`, if their tests have made them, and binds them again. The queue
    of `common`, which consumes all in some tests, is only unbound.
    """
    async with container.broker.connection("test") as connection:
        found = []
        await (await (await connection.channel()).get_queue(NAMES.main)).unbind(EXCHANGE, "#")
        for name in SOMEBODY_ELSES:
            channel = await connection.channel()
            try:
                found.append(await channel.get_queue(name, ensure=True))
            except ChannelNotFoundEntity:
                continue
        for queue in found:
            await queue.unbind(EXCHANGE, "#")
        try:
            yield
        finally:
            for queue in found:
                await queue.bind(EXCHANGE, "#")
