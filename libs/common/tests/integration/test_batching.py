"""Batches on the way: what leaves together, what fails alone, and tenants that wait for each other."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika import Exchange, Message

from quartet_common.data.connections import Connection
from quartet_common.messaging import dead_letters
from quartet_common.messaging.backlog import MAX_QUEUED, Backlog
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER
from quartet_common.messaging.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE, Event, encode
from quartet_common.messaging.topology import EVENTS_HEADER, RETRY_DELAYS
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
    letter = await taken_from(channel, NAMES.delay(RETRY_DELAYS[0]))
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


async def test_of_a_batch_that_is_a_dead_letter_only_the_events_of_a_deleted_tenant_are_dropped(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    deleted, other = new_tenant(), new_tenant()
    events = [event(tenant, subject=f"s/{number}") for number, tenant in enumerate([deleted, other, deleted, other])]
    await put_batch(channel, [encode(one) for one in events], NAMES.dead)
    assert await dead_letters.drop(container.broker, [NAMES], [deleted]) == {deleted: 2}
    left = [await taken_from(channel, NAMES.dead) for _ in range(2)]
    assert [one.body for one in left] == [encode(events[1]), encode(events[3])]
    assert [one.message_id for one in left] == [str(events[1].id), str(events[3].id)]
    assert [dead_letters.tenants_of(one) for one in left] == [[other], [other]]
    assert await messages_in(channel, NAMES.dead) == 0


async def test_of_a_batch_that_is_a_dead_letter_what_cannot_be_read_stays(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    deleted = new_tenant()
    odd = [b'{"tenantid":["%s"]}' % deleted.encode(), b'{"tenantid":{}}', b"{}", b"1"]
    await put_batch(channel, [odd[0], encode(event(deleted)), *odd[1:]], NAMES.dead)
    assert await dead_letters.drop(container.broker, [NAMES], {deleted}) == {deleted: 1}
    assert [(await taken_from(channel, NAMES.dead)).body for _ in odd] == odd


async def test_an_operator_sees_a_batch_only_if_all_of_its_events_are_of_the_own_tenant(
    channel: Channel, event: MakeEvent
) -> None:
    one, other = new_tenant(), new_tenant()
    for tenants in ([one, one], [one, other]):
        await put_batch(channel, [encode(event(tenant)) for tenant in tenants], NAMES.dead)
        message = await taken_from(channel, NAMES.dead)
        assert dead_letters.tenants_of(message) == tenants
        assert dead_letters.is_of(message, one) is (tenants == [one, one])
        assert not dead_letters.is_of(message, other)


async def test_events_that_rabbitmq_did_not_answer_are_not_held_back(
    container: Container, thing: Thing, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, publish, calls = relay_of(container), Exchange.publish, list[int]()

    async def silent(self: Exchange, message: Message, *arguments: Any, **options: Any) -> Any:
        calls.append(len(message.body))
        if len(calls) == 1:
            raise TimeoutError
        return await publish(self, message, *arguments, **options)

    monkeypatch.setattr(Exchange, "publish", silent)
    await add(container, new_tenant(), [thing(str(number)) for number in range(20)])
    async with running(relay):
        await drained(container)
    assert len(calls) == 2, "the same message again, at once"
    assert calls[0] == calls[1]


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


async def test_a_queue_that_grows_although_its_consumer_works_counts_and_one_of_a_stuck_consumer_does_not(
    container: Container, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = 0.3
    monkeypatch.setattr("quartet_common.messaging.backlog.STALL_TIMEOUT", patience)
    queue, loop = await channel.get_queue(NAMES.main), asyncio.get_running_loop()
    async with container.broker.connection("consumer") as connection:
        consuming = await connection.channel()
        await consuming.set_qos(prefetch_count=1)

        async def keep(_: aio_pika.abc.AbstractIncomingMessage) -> None:
            """The message is never acknowledged, so no other comes: those that are taken, the test takes itself."""

        await (await consuming.get_queue(NAMES.main)).consume(keep)
        backlog = Backlog(connection, {"common": ["common.#"], "common.revocations": ["users.#"]})

        async def look(added: int, taken: int) -> bool:
            for _ in range(added):
                await channel.default_exchange.publish(Message(b"{}"), NAMES.main)
                backlog.published(["common.thing.happened.v1", "common.thing.changed.v1"])
            for _ in range(taken):
                await queue.get(no_ack=True)
            return await backlog.is_large(0)

        await look(MAX_QUEUED + 2, 0)
        until = loop.time() + 3 * patience
        while loop.time() < until:
            assert await look(2, 1)

        async def counts_no_more() -> bool:
            backlog.published(["users.user.created.v1"])  # is in another queue
            return not await look(1, 0)

        await eventually(counts_no_more, "the queue to count no more", 5)
