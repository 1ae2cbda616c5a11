"""From the outbox through the relay and RabbitMQ to the effect: exactly once, in order, also when things are raced."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika
import orjson
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging import inbox, outbox
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats, read_outbox
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import EXCHANGE
from quartet_testing.conditions import eventually
from quartet_testing.messaging import Channel, Container, Thing, without_queues_that_take_everything
from quartet_testing.services import new_tenant

EFFECTS = "CREATE TABLE IF NOT EXISTS effects (tenant text, subject text, sequence integer)"


@pytest.fixture
async def effects(container: Container) -> None:
    """A table without any key that would hide doubles."""
    async with container.database.transaction() as connection:
        await connection.execute(f"{EFFECTS}; TRUNCATE effects")


async def note(connection: Connection, events: Sequence[Event]) -> None:
    """The effect of an event: a row."""
    rows = [(event.tenantid, event.subject, event.sequence) for event in events]
    await connection.executemany("INSERT INTO effects VALUES ($1, $2, $3)", rows)


async def add(container: Container, tenant: str, events: Sequence[DomainEvent]) -> None:
    """Write the events into the outbox, in a transaction of their own."""
    async with container.database.transaction() as connection:
        await outbox.add(connection, Caller(tenant, "tester"), events, now=container.clock(), service="common")


async def change(container: Container, tenant: str, name: str) -> None:
    """What a use case does: lock the aggregate's row, change it, tell of it."""
    async with container.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{tenant}{name}")
        last = await connection.fetchval(
            "SELECT count(*) FROM effects WHERE tenant = $1 AND subject = $2", f"source-{tenant}", name
        )
        await connection.execute("INSERT INTO effects VALUES ($1, $2, $3)", f"source-{tenant}", name, last + 1)
        event = DomainEvent("common.thing.changed.v1", f"things/{name}", last + 1, {})
        await outbox.add(connection, Caller(tenant, "tester"), [event], now=container.clock(), service="common")


@asynccontextmanager
async def relaying(container: Container, count: int = 1) -> AsyncIterator[None]:
    """`count` relays of the same service, of which one is active."""
    relays = [Relay(container.config, container.broker, OutboxStats()) for _ in range(count)]
    running = [asyncio.ensure_future(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for relay in relays:
            relay.stop()
        await asyncio.gather(*running)


@asynccontextmanager
async def consuming(container: Container, totals: Any, count: int = 1) -> AsyncIterator[None]:
    """`count` consumers of the service's queue that note what they get."""
    subscriptions = [Subscription("common.#", note)]
    consumers = [Consumer("common", container.broker, container.database, subscriptions, totals) for _ in range(count)]
    running = [asyncio.ensure_future(consumer.run()) for consumer in consumers]
    try:
        yield
    finally:
        for consumer in consumers:
            consumer.stop()
        await asyncio.gather(*running)


async def depth(container: Container) -> int:
    async with container.database.connection() as connection:
        return (await read_outbox(connection)).depth


async def left(container: Container, number: int, timeout: float = 30) -> None:
    """Wait until so many events are in the outbox; an effect may be there before its row is deleted."""

    async def counted() -> bool:
        return await depth(container) == number

    await eventually(counted, f"{number} events are in the outbox", timeout)


async def drained(container: Container, timeout: float = 30) -> None:
    """Wait until the outbox is empty."""
    await left(container, 0, timeout)


async def noted(container: Container, tenant: str) -> dict[str, list[int]]:
    """The sequences that had an effect, per subject, sorted."""
    async with container.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT subject, array_agg(sequence ORDER BY sequence) AS all FROM effects WHERE tenant = $1 GROUP BY 1",
            tenant,
        )
    return {row["subject"]: row["all"] for row in rows}


async def test_an_event_of_a_transaction_that_is_rolled_back_is_never_told(
    container: Container, channel: Channel, thing: Thing
) -> None:
    async def change_my_mind() -> None:
        async with container.database.transaction() as connection:
            await outbox.add(connection, Caller("t", "a"), [thing("x")], now=container.clock(), service="common")
            raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed my mind"):
        await change_my_mind()
    assert await depth(container) == 0


async def test_every_event_has_its_effect_exactly_once_while_relays_and_consumers_race(
    container: Container, channel: Channel, effects: None, thing: Thing, totals: Any
) -> None:
    tenant = new_tenant()
    number, aggregates = 600, 20

    async def write(start: int) -> None:
        for sequence in range(start, number, 4):
            await add(container, tenant, [thing(str(sequence % aggregates), sequence)])

    async with relaying(container, 3), consuming(container, totals, 2):
        await asyncio.gather(*(write(start) for start in range(4)))
        await drained(container)
        await totals.reach(number)
    assert await noted(container, tenant) == {
        f"things/{name}": list(range(name, number, aggregates)) for name in range(aggregates)
    }
    assert totals.results == {"handled": number}


async def test_when_the_active_relay_loses_its_connection_another_takes_over_and_nothing_is_lost_or_doubled(
    container: Container, channel: Channel, effects: None, thing: Thing, totals: Any
) -> None:
    tenant, number = new_tenant(), 1500
    holder = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
                AND ((classid::bigint << 32) | objid::bigint) = hashtextextended('quartet-relay-common', 0)"""
    async with relaying(container, 2), consuming(container, totals):
        for start in range(0, number, 100):
            await add(container, tenant, [thing(str(n % 7), n) for n in range(start, start + 100)])
            if start in (300, 900):
                await eventually(lambda: ended(container, holder), "the relay that holds the lock is ended")
        await drained(container)
        await totals.reach(number)

        async def all_there() -> bool:
            return sum(len(sequences) for sequences in (await noted(container, tenant)).values()) >= number

        await eventually(all_there, "every event has had its effect")
    assert await noted(container, tenant) == {f"things/{name}": list(range(name, number, 7)) for name in range(7)}


async def ended(container: Container, holder: str) -> bool:
    """Whether there was one connection to end."""
    async with container.database.connection() as connection:
        return bool(await connection.fetchval(f"SELECT count(pg_terminate_backend(pid)) FROM ({holder}) h") == 1)


async def test_the_events_of_an_aggregate_leave_in_the_order_of_its_changes(
    container: Container, channel: Channel, effects: None
) -> None:
    tenant, names = new_tenant(), [f"thing-{number}" for number in range(12)]
    listening = await channel.declare_queue(exclusive=True)
    await listening.bind(EXCHANGE, "common.thing.changed.v1")
    seen: dict[str, list[int]] = defaultdict(list)

    async def keep(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        found = orjson.loads(message.body)
        for event in found if isinstance(found, list) else [found]:
            if event["tenantid"] == tenant:
                seen[event["subject"]].append(event["sequence"])

    await listening.consume(keep, no_ack=True)
    async with relaying(container):
        changes = [change(container, tenant, name) for _ in range(40) for name in names]
        limit = asyncio.Semaphore(8)

        async def one(work: Any) -> None:
            async with limit:
                await work

        await asyncio.gather(*(one(work) for work in changes))
        await drained(container)

        async def all_there() -> bool:
            return sum(map(len, seen.values())) >= 480

        await eventually(all_there, "all 480 events have arrived")
    assert seen == {f"things/{name}": list(range(1, 41)) for name in names}


async def test_an_event_that_no_queue_takes_stays_and_holds_up_only_its_own_aggregate(
    container: Container, channel: Channel, effects: None, thing: Thing, totals: Any
) -> None:
    tenant, word = new_tenant(), f"nowhere{uuid4().hex}"
    async with without_queues_that_take_everything(container), relaying(container), consuming(container, totals):
        await add(container, tenant, [thing("stuck", 1, f"{word}.thing.happened.v1"), thing("stuck", 2)])
        await add(container, tenant, [thing("free", number) for number in range(1, 4)])
        await totals.reach(3)
        assert await noted(container, tenant) == {"things/free": [1, 2, 3]}
        await left(container, 2)
        # as soon as somebody takes it, it goes, and what waited behind it too
        listening = await channel.declare_queue(exclusive=True)
        await listening.bind(EXCHANGE, f"{word}.#")
        await drained(container)
        await totals.reach(4)
        assert await listening.get(timeout=5) is not None
    assert await noted(container, tenant) == {"things/free": [1, 2, 3], "things/stuck": [2]}


async def test_a_row_leaves_at_once_after_the_commit_and_not_after_a_poll(
    container: Container, channel: Channel, effects: None, thing: Thing, totals: Any
) -> None:
    tenant = new_tenant()
    async with relaying(container), consuming(container, totals):
        await add(container, tenant, [thing("warm", 0)])
        await totals.reach(1)
        loop = asyncio.get_running_loop()
        took = []
        for number in range(1, 11):
            started = loop.time()
            await add(container, tenant, [thing("one", number)])
            await totals.reach(number + 1)
            took.append(loop.time() - started)
    assert sorted(took)[5] < 0.4  # polling alone would take half a second in the middle


async def test_workers_that_get_the_same_events_at_once_never_wait_in_a_circle(
    container: Container, channel: Channel, event: Callable[..., Event]
) -> None:
    tenant = new_tenant()

    async def take(some: Sequence[Event]) -> int:
        async with container.database.transaction() as connection:
            return len(await inbox.add(connection, some))

    for _ in range(30):
        # batches of different sizes: PostgreSQL's own order of distinct rows depends on how many there are
        events = [event(tenant) for _ in range(600)]
        batches = [events, events[::-1], events[::20], events[::31], events[300:], events[::3]]
        assert sum(await asyncio.gather(*(take(batch) for batch in batches))) == 600


async def test_an_event_that_is_twice_in_one_batch_is_taken_once_and_in_order(
    container: Container, channel: Channel, event: Callable[..., Event]
) -> None:
    tenant = new_tenant()
    first, second = event(tenant), event(tenant)
    async with container.database.transaction() as connection:
        assert await inbox.add(connection, [second, first, second]) == [second, first]
        assert await inbox.add(connection, [first]) == []


async def test_one_id_in_two_tenants_is_two_events(
    container: Container, channel: Channel, event: Callable[..., Event]
) -> None:
    one = event(new_tenant())
    other = event(new_tenant(), id=one.id)
    async with container.database.transaction() as connection:
        assert await inbox.add(connection, [one, other]) == [one, other]


async def test_depth_and_lag_of_the_outbox_can_be_read(container: Container, channel: Channel, thing: Thing) -> None:
    async with container.database.transaction() as connection:
        assert (await read_outbox(connection)).lag == 0
        events = [thing("x", 1), thing("x", 2)]
        old, _ = await outbox.add(connection, Caller("t", "a"), events, now=container.clock(), service="common")
        await connection.execute(
            "UPDATE outbox SET created_at = now() - interval '90 seconds' WHERE event_id = $1", old
        )
        state = await read_outbox(connection)
    assert state.depth == 2
    assert 90 <= state.lag < 100


async def test_a_relay_that_waits_for_a_server_can_be_stopped(
    container: Container, channel: Channel, servers: Stack
) -> None:
    lost = container.config.model_copy(update={"database_url": "postgresql://quartet_common@127.0.0.1:1/quartet"})
    relay = Relay(lost, container.broker, OutboxStats())
    running = asyncio.ensure_future(relay.run())
    await asyncio.sleep(0)
    relay.stop()
    await asyncio.wait_for(running, 5)
