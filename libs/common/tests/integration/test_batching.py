"""Batches on the way: what leaves together, what fails alone, and tenants that wait for each other."""

from typing import Any

import orjson

from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER
from quartet_common.messaging.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE, encode
from quartet_common.messaging.topology import EVENTS_HEADER, RETRY_DELAYS
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
