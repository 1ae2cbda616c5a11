"""Queues that RabbitMQ lists but cannot serve after it was killed: they are made anew, others are left alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest
from aio_pika import Message

from quartet_cli.stack import Stack
from quartet_common.core.errors import UnavailableError
from quartet_common.messaging.broker import Broker
from quartet_common.messaging.deliveries import DELIVERIES_HEADER, header_number
from quartet_common.messaging.repair import LOCK, QueueRepair, State, state_of
from quartet_testing.conditions import eventually
from quartet_testing.faults import evaluate, forget_log, paused
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    Recording,
    Thing,
    add,
    consumer_of,
    drained,
    relay_of,
    running,
    taken_from,
)
from quartet_testing.services import new_tenant

CONSUMERS = {"common": ["common.#"]}
SOON = {State.REFUSED: 0.0, State.SILENT: 0.0}
LATE = {State.REFUSED: 3600.0, State.SILENT: 3600.0}

FORGET_ALL = """#{names := #{directory_rev := Table}} = ra_system:fetch(quorum_queues),
ok = dets:delete(Table, NAME), dets:sync(Table)."""
"""What a kill within a second after the first declaration of a queue leaves."""
AWAY = {
    State.REFUSED: (
        "ok = ra:stop_server(quorum_queues, {NAME, node()}).",
        "ra:restart_server(quorum_queues, {NAME, node()}).",
    ),
    State.SILENT: ("sys:suspend(NAME).", "sys:resume(NAME)."),
}
"""What has a queue that keeps its log answer in that way, and what ends it."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quartet_common.messaging.repair.ANSWER_TIMEOUT", 1.0)


@asynccontextmanager
async def away(servers: Stack, queue: str, state: State) -> AsyncIterator[None]:
    """The queue is not served inside the block and has lost nothing after it."""
    begin, end = AWAY[state]
    await evaluate(servers, begin, queue)
    try:
        yield
    finally:
        await evaluate(servers, end, queue)


async def restart(servers: Stack) -> None:
    """RabbitMQ stops and starts."""
    await asyncio.to_thread(servers.stop, "rabbitmq")
    await asyncio.to_thread(servers.start, "rabbitmq")


async def repaired(repair: QueueRepair) -> None:
    """Run the repair until no queue fails."""

    async def is_done() -> bool:
        await repair.run_once(1)
        return repair.problem is None

    await eventually(is_done, "every queue to be served", 60)


def said(repair: QueueRepair) -> str | None:
    """The problem that operators see now."""
    return repair.problem


async def seen(broker: Broker, queue: str) -> State:
    """How RabbitMQ answers to a consumer of the queue."""
    async with broker.connection("test") as connection:
        return await state_of(connection, queue)


@asynccontextmanager
async def made_again(container: Container) -> AsyncIterator[None]:
    """All queues are served after the block: a restart may damage any that was declared shortly before."""
    try:
        yield
    finally:
        everyone = {**container.config.consumers, **CONSUMERS}
        await repaired(QueueRepair(container.broker, everyone, may_delete=True, limits=SOON))


async def forget_all(servers: Stack, queue: str) -> None:
    """Have RabbitMQ know of no log of the queue from its next start on."""
    await evaluate(servers, FORGET_ALL, queue)


@pytest.mark.parametrize(
    ("queue", "lose", "state"),
    [
        (NAMES.main, forget_log, State.REFUSED),
        pytest.param(NAMES.dead, forget_all, State.SILENT, marks=pytest.mark.slow),
    ],
)
async def test_a_queue_that_has_lost_its_log_is_made_anew_and_is_whole_after_the_next_restart(
    servers: Stack, container: Container, thing: Thing, totals: Any, queue: str, lose: Any, state: State
) -> None:
    handler, repair = Recording(), QueueRepair(container.broker, CONSUMERS, may_delete=True, limits=SOON)
    async with made_again(container):
        await lose(servers, queue)
        await restart(servers)
        assert await seen(container.broker, queue) is state
        await repair.run_once(1)
        assert said(repair) == f"cannot serve {queue}"
        await repaired(repair)
        await restart(servers)
        assert await seen(container.broker, queue) is State.FINE
    await add(container, new_tenant(), [thing("one")])
    async with running(relay_of(container)), running(consumer_of(container, handler, totals)):
        await totals.reach(1)
        await drained(container)
    assert "things/one" in handler.subjects


@pytest.mark.parametrize("state", [State.REFUSED, pytest.param(State.SILENT, marks=pytest.mark.slow)])
async def test_a_queue_that_is_away_for_a_while_keeps_its_messages(
    servers: Stack, container: Container, channel: Channel, state: State
) -> None:
    await channel.default_exchange.publish(Message(b"kept"), NAMES.main, mandatory=True)
    repairs = [
        QueueRepair(container.broker, CONSUMERS, may_delete=True, limits=LATE),
        QueueRepair(container.broker, CONSUMERS, limits=SOON),
    ]
    async with away(servers, NAMES.main, state):
        for _ in range(2):
            await asyncio.gather(*(repair.run_once(1) for repair in repairs))
            assert [said(repair) for repair in repairs] == [f"cannot serve {NAMES.main}"] * 2
    for repair in repairs:
        await repaired(repair)
    assert (await taken_from(channel, NAMES.main)).body == b"kept"


async def test_one_worker_repairs_at_a_time(servers: Stack, container: Container, channel: Channel) -> None:
    await channel.default_exchange.publish(Message(b"kept"), NAMES.main, mandatory=True)
    repair = QueueRepair(container.broker, CONSUMERS, may_delete=True, limits=SOON)
    async with container.broker.connection("another") as connection, away(servers, NAMES.main, State.REFUSED):
        await (await connection.channel()).declare_queue(LOCK, exclusive=True)
        for _ in range(3):
            await repair.run_once(1)
    await repaired(repair)
    assert (await taken_from(channel, NAMES.main)).body == b"kept"


def after_the_first(monkeypatch: pytest.MonkeyPatch, queue: str, act: Callable[[], Awaitable[None]]) -> None:
    """Have the first declaration of `queue`, which is its first check, be followed by `act`."""
    declare, acted = aio_pika.Channel.declare_queue, list[str]()

    async def declare_queue(own: aio_pika.Channel, name: str, **options: Any) -> Any:
        declared = await declare(own, name, **options)
        if name == queue and not acted:
            acted.append(name)
            await act()
        return declared

    monkeypatch.setattr(aio_pika.Channel, "declare_queue", declare_queue)


async def test_an_empty_queue_that_gets_a_message_between_two_checks_gets_no_consumer(
    container: Container, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish() -> None:
        await channel.default_exchange.publish(Message(b"kept"), NAMES.main, mandatory=True)

    after_the_first(monkeypatch, NAMES.main, publish)
    assert await seen(container.broker, NAMES.main) is State.FINE
    message = await taken_from(channel, NAMES.main)
    assert (message.body, header_number(message, DELIVERIES_HEADER)) == (b"kept", 0)


async def test_a_queue_that_is_served_again_when_it_is_to_be_deleted_keeps_its_messages(
    servers: Stack, container: Container, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    repair = QueueRepair(container.broker, CONSUMERS, may_delete=True, limits=SOON)

    async def serve() -> None:
        await evaluate(servers, AWAY[State.REFUSED][1], NAMES.main)
        await channel.default_exchange.publish(Message(b"kept"), NAMES.main, mandatory=True)

    async with away(servers, NAMES.main, State.REFUSED):
        await repair.run_once(1)
        after_the_first(monkeypatch, LOCK, serve)
        await repair.run_once(1)
    await repaired(repair)
    assert (await taken_from(channel, NAMES.main)).body == b"kept"


@pytest.mark.slow
async def test_while_rabbitmq_stands_still_no_queue_is_deleted_and_it_is_looked_at_again_afterwards(
    servers: Stack, container: Container, channel: Channel
) -> None:
    await channel.default_exchange.publish(Message(b"kept"), NAMES.main, mandatory=True)
    repair = QueueRepair(container.broker, CONSUMERS, may_delete=True, limits={**SOON, State.REFUSED: 3600.0})
    async with away(servers, NAMES.dead, State.REFUSED):
        await repair.run_once(1)
        async with paused(servers, "rabbitmq"):
            with pytest.raises(UnavailableError):
                await repair.run_once(1)
            assert said(repair) is None
        await repair.run_once(1)
        assert said(repair) == f"cannot serve {NAMES.dead}"
    await repaired(repair)
    async with container.broker.connection("test") as connection:
        assert (await taken_from(await connection.channel(), NAMES.main)).body == b"kept"


async def test_queues_are_looked_at_only_after_a_failure_of_rabbitmq(
    servers: Stack, container: Container, channel: Channel
) -> None:
    repair = QueueRepair(container.broker, CONSUMERS)
    async with away(servers, NAMES.dead, State.REFUSED):
        await repair.run_once(0)
        assert said(repair) is None
        await repair.run_once(1)
        assert said(repair) == f"cannot serve {NAMES.dead}"
    await repaired(repair)


@pytest.mark.slow
async def test_a_queue_that_only_stays_silent_is_never_deleted(
    servers: Stack, container: Container, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    await channel.default_exchange.publish(Message(b"kept"), NAMES.main, mandatory=True)
    repair = QueueRepair(container.broker, CONSUMERS, may_delete=True)
    async with away(servers, NAMES.main, State.SILENT):
        await repair.run_once(1)
        later = asyncio.get_running_loop().time() + 86400
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "time", lambda: later)
            await repair._take(NAMES.main, State.SILENT)
        assert repair.problem == f"cannot serve {NAMES.main}"
    await repaired(repair)
    assert (await taken_from(channel, NAMES.main)).body == b"kept"
