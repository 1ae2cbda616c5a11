"""Messages that fail: growing delays, dead letters with their reason, and a bad one among good ones."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest
from aio_pika import DeliveryMode, Message

from quartet_common.data.connections import Connection
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.subscriptions import Handler, Subscription
from quartet_common.messaging.topology import RETRY_DELAYS
from quartet_testing.conditions import eventually
from quartet_testing.messaging import NAMES, Channel, Container, MakeEvent
from quartet_testing.services import new_tenant


class Failing:
    """A handler that fails so many times on events of subject `bad`, and notes when it was asked."""

    def __init__(self, failures: int = 10**6) -> None:
        self.failures = failures
        self.times: list[float] = []
        self.done: list[Event] = []

    async def __call__(self, _: Connection, events: Sequence[Event]) -> None:
        if any(event.subject == "bad" for event in events):
            if len(events) == 1:
                self.times.append(asyncio.get_running_loop().time())
            if len(self.times) <= self.failures:
                raise ValueError("the handler cannot do that")
        self.done.extend(events)


@asynccontextmanager
async def consuming(container: Container, handler: Handler, totals: Any) -> AsyncIterator[None]:
    """A consumer with that handler."""
    subscriptions = [Subscription("common.#", handler)]
    consumer = Consumer("common", container.broker, container.database, subscriptions, totals)
    running = asyncio.ensure_future(consumer.run())
    try:
        yield
    finally:
        consumer.stop()
        await running


async def put(channel: Channel, body: bytes, **headers: Any) -> None:
    """Put a message into the service's queue."""
    message = Message(body, delivery_mode=DeliveryMode.PERSISTENT, message_id="the-id", headers=headers)
    await channel.default_exchange.publish(message, NAMES.main)


async def waiting(channel: Channel, name: str) -> aio_pika.abc.AbstractIncomingMessage:
    """The message that is in that queue, as soon as there is one."""
    queue = await channel.get_queue(name)

    async def found() -> aio_pika.abc.AbstractIncomingMessage | None:
        return await queue.get(no_ack=True, fail=False)

    message = await eventually(found, f"a message is in {name}")
    assert message is not None
    return message


async def test_an_event_that_fails_comes_back_after_delays_that_grow(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    failing = Failing(failures=2)
    async with consuming(container, failing, totals):
        await put(channel, encode(event(new_tenant(), subject="bad")))
        await totals.reach(3)
    first, second, third = failing.times
    assert RETRY_DELAYS[0] <= second - first < RETRY_DELAYS[1]
    assert RETRY_DELAYS[1] <= third - second < RETRY_DELAYS[2]
    assert totals.results == {"delayed": 2, "handled": 1}


@pytest.mark.parametrize("attempt", range(1, len(RETRY_DELAYS)))
async def test_after_the_nth_failure_it_waits_in_the_nth_delay_queue(
    container: Container, channel: Channel, event: MakeEvent, totals: Any, attempt: int
) -> None:
    async with consuming(container, Failing(), totals):
        await put(channel, encode(event(new_tenant(), subject="bad")), **{ATTEMPT_HEADER: attempt})
        await totals.reach(1)
        message = await waiting(channel, NAMES.delay(RETRY_DELAYS[attempt]))
    assert message.headers[ATTEMPT_HEADER] == attempt + 1


async def test_after_the_last_delay_it_is_a_dead_letter_with_its_reason_and_everything_it_came_with(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    bad = event(new_tenant(), subject="bad")
    async with consuming(container, Failing(), totals):
        await put(channel, encode(bad), **{ATTEMPT_HEADER: len(RETRY_DELAYS), "traceparent": "the-trace"})
        await totals.reach(1)
    letter = await waiting(channel, NAMES.dead)
    assert letter.body == encode(bad)
    assert letter.message_id == "the-id"
    assert letter.headers[REASON_HEADER] == "ValueError: the handler cannot do that"
    assert letter.headers[ATTEMPT_HEADER] == len(RETRY_DELAYS) + 1
    assert letter.headers["traceparent"] == "the-trace"
    assert letter.delivery_mode is DeliveryMode.PERSISTENT
    assert totals.results == {"dead": 1}


@pytest.mark.parametrize("value", ["5", 1.5, None, {"a": 1}])
async def test_an_odd_attempt_header_counts_as_none(
    container: Container, channel: Channel, event: MakeEvent, totals: Any, value: Any
) -> None:
    async with consuming(container, Failing(), totals):
        await put(channel, encode(event(new_tenant(), subject="bad")), **{ATTEMPT_HEADER: value})
        await totals.reach(1)
    assert totals.results == {"delayed": 1}


async def test_what_is_no_event_is_a_dead_letter_at_once(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    failing = Failing()
    good = event(new_tenant())
    async with consuming(container, failing, totals):
        await put(channel, b"hello")
        await put(channel, encode(good))
        await totals.reach(2)
    letter = await waiting(channel, NAMES.dead)
    assert letter.body == b"hello"
    assert str(letter.headers[REASON_HEADER]).startswith("not a CloudEvents envelope: ")
    assert [item.id for item in failing.done] == [good.id]


async def test_one_bad_event_in_a_batch_does_not_hold_up_the_rest_nor_double_it(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    tenant, failing = new_tenant(), Failing()
    events = [event(tenant, subject="bad" if number == 20 else f"good/{number}") for number in range(40)]
    for item in events:
        await put(channel, encode(item))
    async with consuming(container, failing, totals):
        await totals.reach(40)
    assert totals.results == {"handled": 39, "delayed": 1}
    assert sorted(item.subject for item in failing.done) == sorted(
        item.subject for item in events if item.subject != "bad"
    )


async def test_what_nobody_asks_for_is_taken_off_the_queue(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    failing = Failing()
    async with consuming(container, failing, totals):
        await put(channel, encode(event(new_tenant(), "users.user.created.v1")))
        await totals.reach(1)
    assert failing.done == []
    assert (await (await channel.get_queue(NAMES.main)).declare()).message_count == 0


async def test_a_consumer_that_is_stopped_finishes_its_batch_and_leaves_the_rest(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    done: list[Event] = []

    async def slow(_: Connection, events: Sequence[Event]) -> None:
        begun.set()
        await go_on.wait()
        done.extend(events)

    tenant = new_tenant()
    consumer = Consumer("common", container.broker, container.database, [Subscription("#", slow)], totals)
    running = asyncio.ensure_future(consumer.run())
    await put(channel, encode(event(tenant)))
    await begun.wait()
    for _ in range(5):
        await put(channel, encode(event(tenant)))
    consumer.stop()
    go_on.set()
    await asyncio.wait_for(running, 10)
    assert len(done) == 1
    queue = await channel.get_queue(NAMES.main)

    async def rest_is_there() -> bool:
        return (await queue.declare()).message_count == 5

    await eventually(rest_is_there, "the rest waits for another worker")


async def test_an_event_whose_statement_always_times_out_does_not_hold_up_the_others(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    async def stuck(connection: Connection, events: Sequence[Event]) -> None:
        if any(one.subject == "bad" for one in events):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.3)

    async with consuming(container, stuck, totals):
        for subject in ("good", "bad", "good"):
            await put(channel, encode(event(new_tenant(), subject=subject)))
        await totals.reach(3)
    assert totals.results == {"handled": 2, "delayed": 1}
    message = await waiting(channel, NAMES.delay(RETRY_DELAYS[0]))
    assert "postgresql" in str(message.headers[REASON_HEADER])
