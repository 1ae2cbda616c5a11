"""A redrive sends exactly the dead letters that it has selected, at its rate, each once in effect; those that a failed
server caused are redriven automatically.
"""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from aio_pika import Message

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.identifiers import MAX_ID, NIL_ID, new_id
from quartet_common.messaging import dead_letter_store, redrive, redrive_store
from quartet_common.messaging.dead_letter_store import NewDeadLetter, Selection
from quartet_common.messaging.deliveries import DELIVERIES_HEADER, REASON_HEADER, REDRIVE_HEADER, RETURNS_HEADER
from quartet_common.messaging.envelope import CONTENT_TYPE, Event, encode
from quartet_common.messaging.redrive import MAX_RETURNS, RedriveSender
from quartet_common.messaging.redrive_store import Redrive
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import RETRY_DELAYS
from quartet_common.runtime import dead_letter_usecases, process
from quartet_common.runtime.dead_letter_usecases import NothingSelectedError, SelectionChangedError
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
    store_dead_letters,
    taken_from,
)
from quartet_testing.services import new_tenant

READ_ONLY = "ReadOnlySQLTransactionError"
SERVER_FAILURES = [READ_ONLY, "DiskFullError", "TooManyConnectionsError", "ContendedError", "UnavailableError"]
OTHERS = ["ValueError", "WorkerEndedError", "not a CloudEvents envelope"]
OPERATOR = Caller("quartet", "operator")


def ids(handler: Recording) -> list[str]:
    """Of all events handled."""
    return sorted(str(event.id) for call in handler.calls for event in call)


async def bury(container: Container, event: Event, failure: str = "ValueError", returns: int = 0) -> UUID:
    """Store an event as a dead letter; returns its id as one."""
    facts = (event.tenantid, new_id(), "common", event.id.bytes, str(event.id), event.type, event.subject, None)
    reason = (f"{failure}: it went wrong", failure, len(RETRY_DELAYS) + 1, returns)
    letter = NewDeadLetter(*facts, *reason, CONTENT_TYPE, '{"traceparent":"the-trace"}', encode(event))
    async with container.database.transaction() as connection:
        await dead_letter_store.insert(connection, [letter])
    return letter.id


async def buried(container: Container) -> list[UUID]:
    """The ids of all dead letters."""
    async with container.database.connection() as connection:
        return [one.id for one in await dead_letter_store.list_letters(connection, None, Selection(), NIL_ID, 1000)]


def sender_of(container: Container) -> RedriveSender:
    """As the worker has it."""
    return RedriveSender("common", container.broker, lambda: container.database, container.clock)


async def create(container: Container, selection: Selection, rate: int = 500, expected: int | None = None) -> Redrive:
    return await dead_letter_usecases.create_redrive(container, OPERATOR, None, selection, rate, expected)


async def progress(container: Container, redrive_id: UUID) -> Redrive:
    async with container.database.connection() as connection:
        found = await redrive_store.read_redrive(connection, None, redrive_id)
    assert found is not None
    return found


async def finished(container: Container, redrive_id: UUID) -> Redrive:
    """The redrive, once it has sent everything."""

    async def probe() -> Redrive | None:
        await sender_of(container).run()
        found = await progress(container, redrive_id)
        return found if found.finished_at else None

    found = await eventually(probe, "the redrive to end")
    assert found is not None
    return found


async def published(container: Container) -> list[str]:
    """The types of the events in the outbox."""
    async with container.database.connection() as connection:
        return [row["type"] for row in await connection.fetch("SELECT type FROM outbox ORDER BY id")]


async def test_exactly_the_selected_ones_are_sent_and_each_has_its_effect_once(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    one, other, handler = new_tenant(), new_tenant(), Recording()
    events = [event(one) for _ in range(5)]
    for each in events:
        await bury(container, each)
    others = [await bury(container, event(one), "KeyError"), await bury(container, event(other))]
    made = await create(container, Selection(tenant=one, failure="ValueError"), expected=5)
    assert (made.selected, made.sent, made.remaining) == (5, 0, 5)
    others.append(await bury(container, event(one)))  # it came later
    async with running(consumer_of(container, handler, totals)):
        done = await finished(container, made.id)
        await totals.reach(5)
    assert (done.selected, done.sent, done.failed, done.remaining) == (5, 5, 0, 0)
    assert ids(handler) == sorted(str(each.id) for each in events)
    assert await buried(container) == others
    assert await published(container) == ["quartet.common.redrive.created.v1", "quartet.common.redrive.finished.v1"]


async def test_a_worker_that_ends_while_it_sends_goes_on_later_and_nothing_has_a_second_effect(
    container: Container, channel: Channel, event: MakeEvent, totals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, handler = new_tenant(), Recording()
    events = [event(tenant) for _ in range(4)]
    for each in events:
        await bury(container, each)
    made = await create(container, Selection(tenant=tenant))
    advance = redrive_store.advance

    async def ends(*_: object) -> None:
        raise ConnectionError("the worker ended")

    async with running(consumer_of(container, handler, totals)):
        monkeypatch.setattr(redrive_store, "advance", ends)

        async def has_ended() -> bool:
            try:
                await sender_of(container).run()
            except UnavailableError:
                return True
            return False

        await eventually(has_ended, "the worker to end after it has sent some")
        assert (await progress(container, made.id)).sent == 0
        monkeypatch.setattr(redrive_store, "advance", advance)
        assert (await finished(container, made.id)).sent == 4
        await eventually(lambda: _is(totals, 4), "each event to be handled")
        await totals.reach(5)
    assert ids(handler) == sorted(str(each.id) for each in events)
    assert totals.results["duplicate"] >= 1


async def _is(totals: Any, handled: int) -> bool:
    return bool(totals.results["handled"] == handled)


async def test_one_that_goes_back_begins_with_its_first_attempt_and_its_trace_goes_on(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    bad = event(new_tenant())
    letter = await bury(container, bad, returns=1)
    made = await create(container, Selection(ids=[letter]))
    await finished(container, made.id)
    message = await taken_from(channel, NAMES.main)
    assert (message.body, message.message_id, message.type) == (encode(bad), str(bad.id), bad.type)
    known = {"traceparent": "the-trace", RETURNS_HEADER: 2, REDRIVE_HEADER: str(made.id), DELIVERIES_HEADER: 0}
    assert dict(message.headers) == known


async def test_one_that_fails_again_is_a_dead_letter_again_and_is_counted(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    unreadable = event(new_tenant(), specversion="2.0")
    letter = await bury(container, unreadable)
    made = await create(container, Selection(ids=[letter]))
    async with running(consumer_of(container, Recording(), totals)):
        await finished(container, made.id)
        await totals.reach(1)
    await store_dead_letters(container, "common")
    async with container.database.connection() as connection:
        [again] = await dead_letter_store.list_letters(connection, unreadable.tenantid, Selection(), NIL_ID, 10)
    assert (again.message_id, again.returns, again.redrive_id) == (str(unreadable.id), 1, None)
    assert again.reason == "CloudEvents version 2.0 is not supported"
    done = await progress(container, made.id)
    assert (done.sent, done.failed, done.remaining) == (1, 1, 0)


async def test_no_more_are_sent_than_the_rate_allows_by_any_number_of_workers(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    tenant = new_tenant()
    for _ in range(40):
        await bury(container, event(tenant))
    begun = asyncio.get_running_loop().time()
    made = await create(container, Selection(tenant=tenant), rate=20)
    senders = [sender_of(container) for _ in range(3)]
    sent = 0
    while sent < 40:
        await asyncio.gather(*(sender.run() for sender in senders))
        sent = (await progress(container, made.id)).sent
        assert sent <= 20 * (asyncio.get_running_loop().time() - begun) + 1
        await asyncio.sleep(0.05)
    assert await messages_in(channel, NAMES.main) == 40


async def test_what_is_cancelled_stays_a_dead_letter(container: Container, channel: Channel, event: MakeEvent) -> None:
    tenant = new_tenant()
    letters = [await bury(container, event(tenant)) for _ in range(3)]
    made = await create(container, Selection(tenant=tenant), rate=1)

    async def has_begun() -> bool:
        await sender_of(container).run()
        return (await progress(container, made.id)).sent == 1

    await eventually(has_begun, "the first to be sent")
    done = await dead_letter_usecases.cancel_redrive(container, OPERATOR, None, made.id)
    assert (done.is_cancelled, done.sent, done.remaining) == (True, 1, 0)
    await sender_of(container).run()
    assert await buried(container) == letters[1:]
    again = await dead_letter_usecases.cancel_redrive(container, OPERATOR, None, made.id)
    assert again == done
    assert await published(container) == ["quartet.common.redrive.created.v1", "quartet.common.redrive.cancelled.v1"]


async def test_a_selection_that_has_changed_since_it_was_shown_is_not_redriven(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    tenant = new_tenant()
    await bury(container, event(tenant))
    with pytest.raises(SelectionChangedError, match="1 dead letters meet the conditions, and 2 were expected"):
        await create(container, Selection(tenant=tenant), expected=2)
    made = await create(container, Selection(tenant=tenant))
    with pytest.raises(NothingSelectedError):  # another redrive has it
        await create(container, Selection(tenant=tenant))
    assert (await progress(container, made.id)).remaining == 1


async def test_only_those_of_a_servers_failure_go_back_automatically_and_not_too_often(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    tenant = new_tenant()
    for failure in SERVER_FAILURES:
        await bury(container, event(tenant), failure, MAX_RETURNS - 1)
    staying = [await bury(container, event(tenant), failure) for failure in OTHERS]
    staying.append(await bury(container, event(tenant), READ_ONLY, MAX_RETURNS))
    sender = sender_of(container)
    assert await sender.select_failures() == len(SERVER_FAILURES)
    assert await sender.select_failures() == 0
    async with container.database.connection() as connection:
        [made] = await redrive_store.list_redrives(connection, "quartet", MAX_ID, 10)
    assert made.actor == "quartet-common"
    await finished(container, made.id)
    assert await buried(container) == staying
    assert await messages_in(channel, NAMES.main) == len(SERVER_FAILURES)


async def test_a_worker_that_is_ready_stores_dead_letters_and_puts_them_back(
    container: Container, channel: Channel, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "QUEUES_INTERVAL", 0.1)
    monkeypatch.setattr(redrive, "INTERVAL", 0.1)
    handler = Recording()
    service: Service[Any] = Service(
        "quartet_common", type(container.config), _no_app, lambda _: [Subscription("common.#", handler)]
    )
    failed = event(new_tenant())
    headers: dict[str, Any] = {REASON_HEADER: f"{READ_ONLY}: cannot execute INSERT"}
    await channel.default_exchange.publish(Message(encode(failed), headers=headers), NAMES.dead)
    worker = asyncio.ensure_future(Worker(service, container).run())

    async def handled() -> bool:
        return str(failed.id) in ids(handler) and not await buried(container)  # with the events of the redrive

    try:
        await eventually(handled, "the dead letter to be handled")
    finally:
        container.stopping.set()
        await worker


def _no_app(_: object) -> Any:
    raise AssertionError("a worker needs no app")
