"""Dead letters that a failed server caused are redriven automatically; others stay."""

import asyncio
from typing import Any

import aio_pika
import pytest
from aio_pika import DeliveryMode, Message

from quartet_common.messaging import redrive
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, DELIVERIES_HEADER, REASON_HEADER
from quartet_common.messaging.envelope import CONTENT_TYPE, Event, encode
from quartet_common.messaging.redrive import MAX_RETURNS, RETURNS_HEADER, AutomaticRedrive
from quartet_common.messaging.stats import read_queues
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import RETRY_DELAYS
from quartet_common.runtime import process
from quartet_common.runtime.process import Service, Worker
from quartet_testing.conditions import eventually
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    MakeEvent,
    Recording,
    consumer_of,
    messages_in,
    running,
    taken_from,
)
from quartet_testing.services import new_tenant

READ_ONLY = "ReadOnlySQLTransactionError: cannot execute INSERT in a read-only transaction"
SERVER_FAILURES = [
    READ_ONLY,
    'DiskFullError: could not extend file "base/16384/16385": No space left on device',
    "TooManyConnectionsError: sorry, too many clients already",
    "ContendedError: 503 postgresql_contended: Another request changed the same data at the same time. Try again.",
    "UnavailableError: 503 postgresql_unavailable: postgresql is unavailable. Try again later.",
]
OTHERS = [
    "ValueError: the handler cannot do that",
    "WorkerEndedError: the worker ended 2 times while it handled this event",
    "not a CloudEvents envelope: ReadOnlySQLTransactionError: is no field",
]


def ids(handler: Recording) -> list[str]:
    """Of all events handled."""
    return sorted(str(event.id) for call in handler.calls for event in call)


async def bury(channel: Channel, event: Event, reason: str | None, **headers: Any) -> str:
    """Put an event among the dead letters, as a worker leaves it; returns its id."""
    known = {ATTEMPT_HEADER: len(RETRY_DELAYS) + 1, "traceparent": "the-trace", **headers}
    message = Message(
        encode(event),
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(event.id),
        headers=known if reason is None else {**known, REASON_HEADER: reason},
    )
    await channel.default_exchange.publish(message, NAMES.dead)
    return str(event.id)


async def buried(channel: Channel) -> list[str]:
    """The ids of all dead letters, which stay."""
    queue = await channel.get_queue(NAMES.dead)
    found = []
    while (message := await queue.get(fail=False)) is not None:
        found.append(message)
    for message in reversed(found):
        await message.nack(requeue=True)
    return sorted(str(message.message_id) for message in found)


async def look(automatic: AutomaticRedrive, connection: aio_pika.abc.AbstractConnection) -> None:
    await automatic.run_once(connection, await read_queues(connection, [NAMES.dead]))


async def test_only_those_of_a_servers_failure_go_back_and_each_has_its_effect_once(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    tenant, handler = new_tenant(), Recording()
    events = [event(tenant) for _ in SERVER_FAILURES]
    failed = [await bury(channel, one, reason) for one, reason in zip(events, SERVER_FAILURES, strict=True)]
    await bury(channel, events[0], READ_ONLY)  # a second copy: two workers had it
    others = [await bury(channel, event(tenant), reason) for reason in [*OTHERS, None]]
    async with running(consumer_of(container, handler, totals)), container.broker.connection("redrive") as connection:
        await look(AutomaticRedrive(["common", "nobody"]), connection)
        await totals.reach(len(events) + 1)
    assert ids(handler) == sorted(failed)
    assert totals.results == {"handled": len(events), "duplicate": 1}
    assert await buried(channel) == sorted(others)


async def test_one_that_goes_back_begins_with_its_first_attempt_and_is_counted(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    await bury(channel, event(new_tenant()), READ_ONLY, **{RETURNS_HEADER: 1})
    async with container.broker.connection("redrive") as connection:
        await look(AutomaticRedrive(["common"]), connection)
    message = await (await channel.get_queue(NAMES.main)).get(no_ack=True)
    assert dict(message.headers) == {"traceparent": "the-trace", RETURNS_HEADER: 2, DELIVERIES_HEADER: 0}


async def test_one_that_went_back_in_vain_often_enough_stays(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    stays = await bury(channel, event(new_tenant()), READ_ONLY, **{RETURNS_HEADER: MAX_RETURNS})
    async with container.broker.connection("redrive") as connection:
        await look(AutomaticRedrive(["common"]), connection)
    assert await buried(channel) == [stays]


async def test_dead_letters_that_stay_are_looked_at_again_only_when_others_have_come(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    automatic = AutomaticRedrive(["common"])
    stays = await bury(channel, event(new_tenant()), OTHERS[0])
    async with container.broker.connection("redrive") as connection:
        await look(automatic, connection)
        await look(automatic, connection)
        letter = await (await channel.get_queue(NAMES.dead)).get()
        assert letter.headers[DELIVERIES_HEADER] == 1
        await letter.nack(requeue=True)
        await bury(channel, event(new_tenant()), READ_ONLY)
        await look(automatic, connection)
    assert await buried(channel) == [stays]


async def test_one_that_came_when_another_went_is_looked_at_within_a_minute(
    container: Container, channel: Channel, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(redrive, "monotonic", lambda: now)
    automatic = AutomaticRedrive(["common"])
    await bury(channel, event(new_tenant()), OTHERS[0])
    async with container.broker.connection("redrive") as connection:
        await look(automatic, connection)
        await taken_from(channel, NAMES.dead)
        failed = await bury(channel, event(new_tenant()), READ_ONLY)
        now += 59
        await look(automatic, connection)
        assert await buried(channel) == [failed]
        now += 1

        async def is_redriven() -> bool:
            await look(automatic, connection)  # it sees nothing while the message is on its way back from `buried`
            return await buried(channel) == []

        await eventually(is_redriven, "the other one to be looked at")
    assert (await taken_from(channel, NAMES.main)).message_id == failed


async def test_looks_at_very_many_take_a_tenth_of_the_time_at_most(
    container: Container, channel: Channel, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10  # twice for each look: it takes ten seconds
        return now

    monkeypatch.setattr(redrive, "monotonic", clock)
    automatic = AutomaticRedrive(["common"])
    await bury(channel, event(new_tenant()), OTHERS[0])
    async with container.broker.connection("redrive") as connection:
        await look(automatic, connection)
        failed = await bury(channel, event(new_tenant()), READ_ONLY)
        for _ in range(8):
            await look(automatic, connection)
        assert await messages_in(channel, NAMES.main) == 0
        await look(automatic, connection)
    assert (await taken_from(channel, NAMES.main)).message_id == failed


async def test_a_worker_that_is_ready_puts_them_back(
    container: Container, channel: Channel, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "QUEUES_INTERVAL", 0.1)
    handler = Recording()
    service: Service[Any] = Service(
        "quartet_common", type(container.config), _no_app, lambda _: [Subscription("common.#", handler)]
    )
    failed = await bury(channel, event(new_tenant()), READ_ONLY)
    worker = asyncio.ensure_future(Worker(service, container).run())

    async def handled() -> bool:
        return ids(handler) == [failed]

    try:
        await eventually(handled, "the dead letter to be handled")
    finally:
        container.stopping.set()
        await worker
    assert await buried(channel) == []


def _no_app(_: object) -> Any:
    raise AssertionError("a worker needs no app")
