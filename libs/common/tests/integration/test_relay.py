"""The relay among servers that do not do their part: nothing is published twice for it, out of order, or never."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import orjson
import pytest

from quartet_common.data.connections import Connection
from quartet_common.messaging import batches as batching
from quartet_common.messaging.backlog import Backlog
from quartet_common.messaging.relay import BACKLOG_PAUSE, Relay
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.topology import EXCHANGE
from quartet_testing.conditions import eventually
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    Recording,
    Thing,
    add,
    consumer_of,
    drained,
    left,
    messages_in,
    relay_of,
    running,
    without_queues_that_take_everything,
)
from quartet_testing.services import new_tenant

NOWHERE = "nowhere.thing.happened.v1"
"""A type that no queue takes."""
HOLDING = "quartet_common.messaging.outbox_reader.HOLD"
FULL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER failing BEFORE INSERT ON published_events FOR EACH ROW EXECUTE FUNCTION fail()"""
MEND = "DROP TRIGGER failing ON published_events; DROP FUNCTION fail"


async def published(channel: Channel) -> list[str]:
    """The subjects of the events in the service's queue, in their order."""
    queue, found = await channel.get_queue(NAMES.main), list[str]()
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        body = orjson.loads(message.body)
        found += [event["subject"] for event in (body if isinstance(body, list) else [body])]
    return found


@asynccontextmanager
async def full(connection: Connection) -> AsyncIterator[None]:
    """PostgreSQL has no space for a row in the journal inside the block."""
    await connection.execute(FULL)
    try:
        yield
    finally:
        await connection.execute(MEND)


@asynccontextmanager
async def slow(connection: Connection) -> AsyncIterator[None]:
    """The rows of the outbox cannot be moved in time inside the block."""
    async with connection.transaction():
        await connection.execute("SELECT FROM outbox FOR UPDATE")
        yield


@pytest.mark.parametrize("failing", [full, slow])
async def test_what_was_confirmed_but_could_not_be_moved_is_moved_before_anything_is_published(
    container: Container, channel: Channel, thing: Thing, caplog: pytest.LogCaptureFixture, failing: Any
) -> None:
    relay = Relay(container.config.model_copy(update={"database_timeout": 0.3}), container.broker, OutboxStats())

    async def has_failed_again() -> bool:
        return sum("the relay lost" in one or "connecting failed" in one for one in caplog.messages) >= 3

    await add(container, new_tenant(), [thing(str(number)) for number in range(20)])
    async with container.database.connection() as connection, running(relay):
        async with failing(connection):
            await eventually(has_failed_again, "the relay to try again")
            assert await messages_in(channel, NAMES.main) == 1
        await drained(container)
    assert await messages_in(channel, NAMES.main) == 1


def cancelled_once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[str]:
    """Has the first call of a method end as aiormq ends what waits for an answer when heartbeats are missed. The list
    that it gives has the call once it has happened.
    """
    method, done = getattr(owner, name), list[str]()

    async def call(*arguments: Any, **options: Any) -> Any:
        if not done:
            done.append(name)
            raise asyncio.CancelledError
        return await method(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    return done


@pytest.mark.parametrize(
    ("owner", "name"), [(aio_pika.Exchange, "publish"), (Backlog, "is_large"), (aio_pika.Channel, "declare_exchange")]
)
async def test_a_relay_whose_wait_for_rabbitmq_is_cancelled_by_the_driver_connects_anew(
    container: Container, channel: Channel, thing: Thing, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    done = cancelled_once(monkeypatch, owner, name)
    await add(container, new_tenant(), [thing("one")])
    task = asyncio.create_task((relay := relay_of(container)).run())

    async def was_cancelled() -> bool:
        return bool(done)

    await eventually(was_cancelled, f"{name} to be cancelled")
    await add(container, new_tenant(), [thing("two")])
    await drained(container)
    assert not task.done()
    relay.stop()
    await task


@pytest.mark.parametrize(("owner", "name"), [(aio_pika.IncomingMessage, "ack"), (aio_pika.Queue, "consume")])
async def test_a_consumer_whose_wait_for_rabbitmq_is_cancelled_by_the_driver_connects_anew(
    container: Container,
    channel: Channel,
    thing: Thing,
    totals: Any,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
) -> None:
    cancelled_once(monkeypatch, owner, name)
    await add(container, new_tenant(), [thing("one")])
    async with running(relay_of(container)):
        await drained(container)
    handler = Recording()
    async with running(consumer_of(container, handler, totals)):
        await totals.reach(2 if name == "ack" else 1)  # without the acknowledgement it comes again
    assert handler.subjects == ["things/one"]


async def test_a_task_that_is_cancelled_itself_ends(container: Container, channel: Channel) -> None:
    task = asyncio.create_task((relay := relay_of(container)).run())

    async def is_connected() -> bool:
        return relay.connected

    await eventually(is_connected, "the relay to be connected")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_an_event_waits_for_the_refused_one_before_it_also_when_the_rest_ends_within_a_round(
    container: Container, channel: Channel, thing: Thing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HOLDING, 0.0)
    monkeypatch.setattr(batching, "BATCH", 10)
    others = [thing(str(number)) for number in range(30)]
    async with without_queues_that_take_everything(container):
        await add(container, new_tenant(), [thing("stuck", 1, NOWHERE), *others, thing("stuck", 2)])
        async with running(relay_of(container)):

            async def came() -> bool:
                return await messages_in(channel, NAMES.main) >= 3

            await eventually(came, "the events of the others")
        await left(container, 2)
    assert await published(channel) == [f"things/{number}" for number in range(30)]


@pytest.mark.parametrize("number", [99, 205], ids=["a-few-rows-each", "more-tenants-than-one-look-has"])
async def test_tenants_whose_events_all_rest_take_nothing_from_the_share_of_the_others(
    container: Container, channel: Channel, thing: Thing, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(HOLDING, 120.0)
    relay = relay_of(container)

    async def all_rest() -> bool:
        return len(relay._reader._held) == number

    async with without_queues_that_take_everything(container):
        for tenant in range(number):
            await add(container, f"a-{tenant:03}", [thing("stuck", 1, NOWHERE)])
        async with running(relay):
            await eventually(all_rest, "all events to be refused")
            await add(container, f"b-{new_tenant()}", [thing(str(one)) for one in range(600)])
            await left(container, number, 10)
    assert len(await published(channel)) == 600


async def test_an_event_behind_many_of_its_tenant_that_no_queue_takes_is_reached(
    container: Container, channel: Channel, thing: Thing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HOLDING, 0.2)
    stuck = [thing(f"stuck/{number}", 1, NOWHERE) for number in range(1010)]
    async with without_queues_that_take_everything(container):
        await add(container, new_tenant(), [*stuck, thing("free")])
        async with running(relay_of(container)):
            await left(container, 1010)
    assert await published(channel) == ["things/free"]


async def test_a_relay_that_waits_for_its_consumers_is_not_woken_by_every_commit(
    container: Container, channel: Channel, thing: Thing, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, loop, looks = relay_of(container), asyncio.get_running_loop(), list[float]()

    async def is_large(*_: Any) -> bool:
        looks.append(loop.time())
        relay._wake.set()
        return True

    async def enough() -> bool:
        return len(looks) >= 6

    monkeypatch.setattr(Backlog, "is_large", is_large)
    await add(container, new_tenant(), [thing(str(number)) for number in range(2000)])
    async with running(relay):
        await eventually(enough, "the relay to look")
    assert looks[5] - looks[1] >= 4 * BACKLOG_PAUSE


async def test_a_relay_that_stood_by_declares_the_queues_once_more_before_it_publishes(
    container: Container, channel: Channel, thing: Thing
) -> None:
    taking = await channel.declare_queue(exclusive=True)
    await taking.bind(EXCHANGE, "common.#")  # so that no event is refused
    async with container.database.connection() as connection:
        lock = "hashtextextended('quartet-relay-common', 0)"
        await connection.execute(f"SELECT pg_advisory_lock({lock})")
        async with running(relay_of(container)):

            async def waits() -> bool:
                waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                return bool(await connection.fetchval(waiting))

            await eventually(waits, "the relay to stand by")
            await channel.queue_delete(NAMES.main)
            await add(container, new_tenant(), [thing("one")])
            await connection.execute(f"SELECT pg_advisory_unlock({lock})")
            await drained(container)
            assert await published(channel) == ["things/one"]
