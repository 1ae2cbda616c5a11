"""What goes away and comes back: queues, workers, RabbitMQ with all that it held."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import pytest
from aio_pika import Message
from aio_pika.exceptions import ChannelNotFoundEntity

from quartet_common.data.connections import Connection
from quartet_common.messaging import journal
from quartet_common.messaging.consumer import PREFETCH, Consumer
from quartet_common.messaging.deliveries import DELIVERIES_HEADER, header_number
from quartet_common.messaging.envelope import Event, decode, encode
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.subscriptions import Subscription
from quartet_testing.conditions import eventually
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    MakeEvent,
    Recording,
    Thing,
    add,
    consumer_of,
    drained,
    messages_in,
    put_batch,
    relay_of,
    running,
    taken_from,
)
from quartet_testing.services import new_tenant


async def test_a_consumer_whose_queue_is_deleted_declares_it_again_and_is_not_ready_meanwhile(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    handler, lost = Recording(), asyncio.Event()

    class Watched(Consumer):
        """Sets `lost` when it is not connected any more, however short the time until it is again."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "connected" and not value:
                lost.set()

    subscriptions = [Subscription("common.#", handler)]
    consumer = Watched("common", container.broker, container.database, subscriptions, totals)
    async with running(consumer):
        await channel.default_exchange.publish(Message(encode(event(new_tenant(), subject="before"))), NAMES.main)
        await totals.reach(1)
        lost.clear()
        await channel.queue_delete(NAMES.main)
        await asyncio.wait_for(lost.wait(), 10)

        async def consumes_again() -> bool:
            return consumer.connected

        await eventually(consumes_again, "it consumes again", timeout=5)
        exchange = await channel.get_exchange("quartet.events")
        await exchange.publish(Message(encode(event(new_tenant(), subject="after"))), "common.thing.changed.v1")
        await totals.reach(2)
    assert handler.subjects == ["before", "after"]


async def test_a_relay_that_has_little_to_do_declares_a_queue_again_that_was_deleted(
    container: Container, channel: Channel, thing: Thing
) -> None:
    async with running(relay_of(container)):
        await add(container, new_tenant(), [thing("before")])
        await taken_from(channel, NAMES.main)
        await channel.queue_delete(NAMES.main)

        async def is_there() -> bool:
            async with container.broker.connection("test") as connection:
                try:
                    await (await connection.channel()).declare_queue(NAMES.main, passive=True)
                except ChannelNotFoundEntity:
                    return False
            return True

        await eventually(is_there, "the queue is there again", timeout=10)
        await add(container, new_tenant(), [thing("after")])
        letter = await taken_from(channel, NAMES.main)
    assert decode(letter.body).subject == "things/after"


async def test_a_consumer_that_is_stopped_answers_all_messages_that_it_holds(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    go_on, handled = asyncio.Event(), list[str]()

    async def slow(_: Connection, events: Sequence[Event]) -> None:
        handled.extend(one.subject for one in events)
        if len(handled) > 1:
            await go_on.wait()

    subjects = [str(number) for number in range(2 * PREFETCH + 4)]
    for subject in subjects:
        await channel.default_exchange.publish(Message(encode(event(new_tenant(), subject=subject))), NAMES.main)
    consumer = consumer_of(container, slow, totals)
    task = asyncio.ensure_future(consumer.run())

    async def holds_many() -> bool:
        return len(handled) > 1 and await messages_in(channel, NAMES.main) <= len(subjects) - 1 - PREFETCH

    await eventually(holds_many, "the consumer holds as many messages as it may")
    consumer.stop()
    go_on.set()
    await task
    left = [await taken_from(channel, NAMES.main) for _ in range(await messages_in(channel, NAMES.main))]
    assert handled + [decode(one.body).subject for one in left] == subjects
    assert left
    assert not any(header_number(one, DELIVERIES_HEADER) for one in left), "none of them counts as delivered before"


async def test_events_whose_transaction_was_undone_for_another_are_tried_again_together(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    calls: list[int] = []

    async def contended(_: Connection, events: Sequence[Event]) -> None:
        calls.append(len(events))
        if len(calls) < 3:
            raise asyncpg.DeadlockDetectedError("deadlock detected")

    tenant = new_tenant()
    await put_batch(channel, [encode(event(tenant, subject=str(number))) for number in range(50)])
    async with running(consumer_of(container, contended, totals)):
        await totals.reach(50)
    assert calls == [50, 50, 50]
    assert totals.results == {"handled": 50}


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
    assert await journal.replay(container.database, begun, tenant) == 20, "the journal has each of them once"


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
