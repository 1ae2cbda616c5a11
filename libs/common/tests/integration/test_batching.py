"""Batches on the way: what leaves together, what fails alone, and consumers whose queue or worker goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika import Message

from quartet_common.config import ServiceConfig
from quartet_common.container import AppContainer
from quartet_common.database import Connection
from quartet_common.messaging import journal, outbox
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER
from quartet_common.messaging.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE, Event, encode, encode_batch
from quartet_common.messaging.outbox import Caller, DomainEvent
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats, read_outbox
from quartet_common.messaging.subscriptions import Handler, Subscription
from quartet_common.messaging.topology import DELAYS, EVENTS_HEADER, QueueNames
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

Container = AppContainer[ServiceConfig]
Channel = aio_pika.abc.AbstractChannel
MakeEvent = Callable[..., Event]
Thing = Callable[..., DomainEvent]
NAMES = QueueNames("common")


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
        return [event.subject for call in self.calls for event in call]


@asynccontextmanager
async def running(part: Relay | Consumer) -> AsyncIterator[None]:
    task = asyncio.ensure_future(part.run())
    try:
        yield
    finally:
        part.stop()
        await task


def relay_of(container: Container) -> Relay:
    return Relay(container.config, container.broker, OutboxStats())


def consumer_of(container: Container, handler: Handler, totals: Any) -> Consumer:
    return Consumer("common", container.broker, container.database, [Subscription("common.#", handler)], totals)


async def add(container: Container, tenant: str, events: Sequence[DomainEvent]) -> None:
    async with container.database.transaction() as connection:
        await outbox.add(connection, Caller(tenant, "tester"), events, now=container.clock(), service="common")


async def drained(container: Container) -> None:
    async def is_empty() -> bool:
        async with container.database.connection() as connection:
            return (await read_outbox(connection)).depth == 0

    await eventually(is_empty, "the outbox is empty")


async def put_batch(channel: Channel, bodies: Sequence[bytes]) -> None:
    """Put one batch into the service's queue."""
    headers: dict[str, Any] = {EVENTS_HEADER: len(bodies), "CC": ["nobody.listens"]}
    message = Message(encode_batch(bodies), content_type=BATCH_CONTENT_TYPE, message_id="the-batch", headers=headers)
    await channel.default_exchange.publish(message, NAMES.main)


async def taken_from(channel: Channel, name: str) -> aio_pika.abc.AbstractIncomingMessage:
    """The message that is in that queue, as soon as there is one."""
    queue = await channel.get_queue(name)

    async def found() -> aio_pika.abc.AbstractIncomingMessage | None:
        return await queue.get(no_ack=True, fail=False)

    message = await eventually(found, f"a message is in {name}")
    assert message is not None
    return message


async def messages_in(channel: Channel, name: str) -> int:
    declared = await (await channel.get_queue(name)).declare()
    return declared.message_count or 0


async def test_events_that_wait_leave_in_one_message_and_a_single_event_as_itself(
    container: Container, channel: Channel, thing: Thing
) -> None:
    tenant = new_tenant()
    mixed = [thing(str(n), n, f"common.thing.{'changed' if n % 2 else 'removed'}.v1") for n in range(250)]
    await add(container, tenant, mixed)
    async with running(relay_of(container)):
        await drained(container)
        first, second = [await taken_from(channel, NAMES.main) for _ in range(2)]
        await add(container, tenant, [thing("alone")])
        alone = await taken_from(channel, NAMES.main)
    assert [first.content_type, second.content_type, alone.content_type] == [BATCH_CONTENT_TYPE] * 2 + [CONTENT_TYPE]
    assert [first.headers[EVENTS_HEADER], second.headers[EVENTS_HEADER]] == [200, 50]
    found = [event["subject"] for event in orjson.loads(first.body) + orjson.loads(second.body)]
    assert found == [f"things/{number}" for number in range(250)]
    assert (first.routing_key, first.headers["CC"]) == ("common.thing.removed.v1", ["common.thing.changed.v1"])
    assert orjson.loads(alone.body)["subject"] == "things/alone"
    assert await messages_in(channel, NAMES.main) == 0


async def test_one_bad_event_of_a_batch_is_retried_alone_with_its_own_id_and_reason(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    tenant, handler = new_tenant(), Recording()
    events = [event(tenant, subject="bad" if number == 77 else f"good/{number}") for number in range(150)]
    await put_batch(channel, [encode(one) for one in events])
    async with running(consumer_of(container, handler, totals)):
        await totals.reach(150)
    letter = await taken_from(channel, NAMES.delay(DELAYS[0]))
    assert (letter.message_id, letter.type, letter.body) == (str(events[77].id), events[77].type, encode(events[77]))
    assert (letter.content_type, letter.headers[ATTEMPT_HEADER]) == (CONTENT_TYPE, 1)
    assert letter.headers[REASON_HEADER] == "ValueError: the handler cannot do that"
    assert "CC" not in letter.headers
    assert handler.subjects == [f"good/{number}" for number in range(150) if number != 77]
    assert totals.results == {"handled": 149, "delayed": 1}
    assert await messages_in(channel, NAMES.main) == 0


async def test_an_element_of_a_batch_that_is_no_event_is_a_dead_letter_alone(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    tenant, handler = new_tenant(), Recording()
    first, last = event(tenant, subject="first"), event(tenant, subject="last")
    await put_batch(channel, [encode(first), b'{"id":"nonsense"}', encode(last)])
    async with running(consumer_of(container, handler, totals)):
        await totals.reach(3)
    letter = await taken_from(channel, NAMES.dead)
    assert letter.body == b'{"id":"nonsense"}'
    assert str(letter.headers[REASON_HEADER]).startswith("not a CloudEvents envelope: ")
    assert handler.subjects == ["first", "last"]


async def test_a_batch_is_one_call_of_the_handler_without_events_that_others_asked_for(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    tenant, handler = new_tenant(), Recording()
    types = ["common.thing.changed.v1", "users.user.created.v1"]
    events = [event(tenant, types[number % 2], subject=f"s/{number}") for number in range(100)]
    await put_batch(channel, [encode(one) for one in events])
    async with running(consumer_of(container, handler, totals)):
        await totals.reach(100)
        async with container.database.connection() as connection:
            noted = await connection.fetchval("SELECT count(*) FROM inbox WHERE tenant_id = $1", tenant)
    assert [len(call) for call in handler.calls] == [50]
    assert noted == 50
    assert totals.results == {"handled": 50, "passed over": 50}


async def test_a_tenant_with_one_event_does_not_wait_behind_the_many_of_another(
    container: Container, channel: Channel, thing: Thing
) -> None:
    large, small = new_tenant(), new_tenant()
    for start in range(0, 5000, 1000):
        await add(container, large, [thing(str(number), number) for number in range(start, start + 1000)])
    await add(container, small, [thing("small")])
    async with running(relay_of(container)):
        await drained(container)
    order: list[str] = []
    queue = await channel.get_queue(NAMES.main)
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        found = orjson.loads(message.body)
        order += [event["tenantid"] for event in (found if isinstance(found, list) else [found])]
    assert len(order) == 5001
    assert order.index(small) <= 1000


async def test_a_large_tenant_waits_in_the_outbox_while_consumers_lag_behind_and_a_small_one_does_not(
    container: Container, channel: Channel, thing: Thing, totals: Any
) -> None:
    large, small, go_on = new_tenant(), new_tenant(), asyncio.Event()
    handled: list[str] = []

    async def slow(_: Connection, events: Sequence[Event]) -> None:
        handled.extend(event.tenantid for event in events)
        if small not in handled:
            with suppress(TimeoutError):
                await asyncio.wait_for(go_on.wait(), 0.5)  # some 1,000 events a second

    for start in range(0, 20_000, 1000):
        await add(container, large, [thing(str(number), number) for number in range(start, start + 1000)])
    async with running(consumer_of(container, slow, totals)), running(relay_of(container)):
        await totals.reach(500)
        await add(container, small, [thing("small")])

        async def came() -> bool:
            return small in handled

        await eventually(came, "the event of the small tenant", timeout=60)
        go_on.set()
        assert handled.index(small) < 8_000, "it has overtaken most of what waited before it"
        await totals.reach(20_001)


async def test_a_consumer_whose_queue_is_deleted_declares_it_again_and_is_not_ready_meanwhile(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    handler = Recording()
    consumer = consumer_of(container, handler, totals)
    seen: list[bool] = []
    async with running(consumer):
        await channel.default_exchange.publish(Message(encode(event(new_tenant(), subject="before"))), NAMES.main)
        await totals.reach(1)
        await channel.queue_delete(NAMES.main)

        async def lost() -> bool:
            seen.append(consumer.connected)
            return not consumer.connected

        await eventually(lost, "the consumer has noticed", timeout=5)

        async def consumes_again() -> bool:
            return consumer.connected

        await eventually(consumes_again, "it consumes again", timeout=5)
        exchange = await channel.get_exchange("quartet.events")
        await exchange.publish(Message(encode(event(new_tenant(), subject="after"))), "common.thing.changed.v1")
        await totals.reach(2)
    assert handler.subjects == ["before", "after"]


async def test_a_relay_makes_the_queue_of_a_consumer_that_is_stopped_before_it_publishes(
    container: Container, channel: Channel, thing: Thing, totals: Any
) -> None:
    await add(container, new_tenant(), [thing(str(number)) for number in range(10)])
    for name in NAMES.all:
        await channel.queue_delete(name)
    async with running(relay_of(container)):
        await drained(container)
    handler = Recording()
    async with running(consumer_of(container, handler, totals)):
        await totals.reach(10)
    assert handler.subjects == [f"things/{number}" for number in range(10)]


async def test_an_event_that_ends_every_worker_is_retried_alone_and_the_others_are_handled_once(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    tenant, reached = new_tenant(), asyncio.Event()
    handled: list[str] = []

    async def crash(_: Connection, events: Sequence[Event]) -> None:
        if not totals.results["delayed"] and any(one.subject == "bad" for one in events):
            reached.set()
            await asyncio.Event().wait()  # until the worker is ended
        handled.extend(one.subject for one in events)

    subjects = ["bad" if number == 30 else f"good/{number}" for number in range(60)]
    await put_batch(channel, [encode(event(tenant, subject=subject)) for subject in subjects])
    for number in range(40):
        subjects += (some := [f"next/{number}/{n}" for n in range(2)])
        await put_batch(channel, [encode(event(tenant, subject=subject)) for subject in some])
    workers = 0
    while len(handled) < len(subjects):
        workers += 1
        assert workers <= 8, "five that end and one that does not would do"
        reached.clear()
        task = asyncio.ensure_future(consumer_of(container, crash, totals).run())
        await eventually_either(reached, lambda: len(handled) == len(subjects))
        task.cancel()  # its connection closes without an answer, as when a worker is killed
        await asyncio.wait([task])
    assert sorted(handled) == sorted(subjects)
    assert totals.results["delayed"] == 1
    assert totals.results["dead"] == 0


async def eventually_either(reached: asyncio.Event, condition: Callable[[], bool]) -> None:
    async def probe() -> bool:
        return reached.is_set() or condition()

    await eventually(probe, "the bad event, or all events", timeout=60)


async def test_events_that_rabbitmq_has_lost_are_published_again_and_have_their_effect_once(
    container: Container, channel: Channel, thing: Thing, totals: Any
) -> None:
    tenant, other, handler = new_tenant(), new_tenant(), Recording()
    begun = container.clock()
    await add(container, tenant, [thing(f"arrived/{number}") for number in range(10)])
    await add(container, other, [thing("other")])
    async with running(relay_of(container)), running(consumer_of(container, handler, totals)):
        await totals.reach(11)
        await drained(container)
    await add(container, tenant, [thing(f"lost/{number}") for number in range(10)])
    async with running(relay_of(container)):
        await drained(container)
    await (await channel.get_queue(NAMES.main)).purge()
    assert await journal.replay(container.database, begun, tenant) == 20
    async with running(relay_of(container)), running(consumer_of(container, handler, totals)):
        await totals.reach(31)
    assert sorted(one for one in handler.subjects if one.startswith("things/lost")) == [
        f"things/lost/{number}" for number in range(10)
    ]
    assert len(handler.subjects) == 21


async def test_what_was_published_long_ago_is_forgotten(container: Container, channel: Channel, thing: Thing) -> None:
    tenant = new_tenant()
    await add(container, tenant, [thing("old"), thing("new")])
    async with running(relay_of(container)):
        await drained(container)
    async with container.database.transaction() as connection:
        await connection.execute(
            "UPDATE published_events SET published_at = now() - interval '25 hours'"
            " WHERE tenant_id = $1 AND aggregate LIKE '%/old'",
            tenant,
        )
        assert await journal.prune(connection, 24) == 1
        left = await connection.fetch("SELECT aggregate FROM published_events WHERE tenant_id = $1", tenant)
    assert [row["aggregate"] for row in left] == [f"{tenant}/things/new"]


@pytest.mark.parametrize("hours", [0.0, 24.0])
async def test_without_a_journal_published_events_are_not_kept(
    container: Container, channel: Channel, thing: Thing, hours: float
) -> None:
    tenant = new_tenant()
    config = container.config.model_copy(update={"journal_hours": hours})
    await add(container, tenant, [thing("one")])
    async with running(Relay(config, container.broker, OutboxStats())):
        await drained(container)
    async with container.database.connection() as connection:
        kept = await connection.fetchval("SELECT count(*) FROM published_events WHERE tenant_id = $1", tenant)
    assert kept == (1 if hours else 0)
