"""A PostgreSQL that answers and cannot do its work (read-only, full, shutting down): nobody else is blamed for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
import asyncpg
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection, SingleConnection
from quartet_common.messaging import inbox, outbox
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.relay import Relay
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.subscriptions import Subscription
from quartet_testing.conditions import eventually
from quartet_testing.messaging import NAMES, Channel, Container, MakeEvent, consumer_of, running
from quartet_testing.services import new_tenant

READ_ONLY = "503 postgresql_unavailable: postgresql is read-only. Try again later."

PROBLEMS = {
    "25006": "is read-only",
    "53100": "has no disk space left",
    "53300": "accepts no more connections",
    "57P01": "is unavailable",
    "57P02": "is unavailable",
    "57P03": "is unavailable",
    "57P04": "is unavailable",
    "57P05": "is unavailable",
    "25P03": "is unavailable",
    "58000": "is unavailable",
    "58030": "is unavailable",
    "08000": "is unavailable",
    "08006": "is unavailable",
}
"""SQLSTATEs that are the server's failure, and the problem in the response."""


async def fail(connection: Connection, code: str) -> None:
    """Have PostgreSQL report an error with that SQLSTATE."""
    await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")


async def write(container: Container) -> None:
    async with container.database.transaction() as connection:
        await connection.execute("SELECT set_config('common.test', '', true)")
        await connection.execute("DELETE FROM inbox WHERE false")


async def is_written(container: Container) -> bool:
    """Whether a write is taken on each connection of the pool."""
    writing = (write(container) for _ in range(container.database.pool.get_max_size()))
    return not any(await asyncio.gather(*writing, return_exceptions=True))


async def is_ready(container: Container) -> bool:
    try:
        await container.database.watch.check_writable()
    except UnavailableError:
        return False
    return True


@pytest.mark.parametrize("code", PROBLEMS)
async def test_an_error_that_is_the_servers_is_a_503_that_says_what_it_is(container: Container, code: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        async with container.database.transaction() as connection:
            await fail(connection, code)
    error = caught.value
    assert (error.status, error.headers) == (503, {"Retry-After": "1"})
    assert error.detail == f"postgresql {PROBLEMS[code]}. Try again later."
    if code == "53100":
        with pytest.raises(UnavailableError, match="has no disk space left"):
            await container.database.watch.check_writable()
    assert await is_written(container)


async def test_an_error_that_is_the_servers_is_never_counted_against_an_event(
    container: Container, channel: Channel, event: MakeEvent, totals: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_common.messaging.consumer.DATABASE_PAUSE", 0.05)
    left = list(PROBLEMS)

    async def handle(connection: Connection, _: Sequence[Event]) -> None:
        if left:
            await fail(connection, left.pop())

    consumer = Consumer("common", container.broker, container.database, [Subscription("common.#", handle)], totals)
    await channel.default_exchange.publish(aio_pika.Message(encode(event(new_tenant()))), NAMES.main)
    async with running(consumer):
        await totals.reach(1)
    assert totals.results == {"handled": 1}
    assert not left


ENDED_BY = {"57P01": "SELECT pg_terminate_backend(pg_backend_pid())", "25P03": "SELECT"}
"""Statements after which PostgreSQL ends the session of a transaction, at once or because it is idle."""


async def has_ended(connection: Connection) -> bool:
    return connection.is_closed()


@pytest.mark.parametrize("code", ENDED_BY)
async def test_a_session_that_postgresql_ends_is_never_counted_against_an_event(
    container: Container, channel: Channel, event: MakeEvent, totals: Any, code: str
) -> None:
    calls = 0

    async def handle(connection: Connection, _: Sequence[Event]) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = '20ms'")
            await connection.execute(ENDED_BY[code])
            await eventually(partial(has_ended, connection), "PostgreSQL to end the session")
            await connection.execute("SELECT")

    await channel.default_exchange.publish(aio_pika.Message(encode(event(new_tenant()))), NAMES.main)
    async with running(consumer_of(container, handle, totals)):
        await totals.reach(1)
    assert totals.results == {"handled": 1}
    assert calls == 3


async def test_an_event_whose_statement_takes_too_much_memory_does_not_hold_up_the_others(
    container: Container, channel: Channel, event: MakeEvent, totals: Any
) -> None:
    async def handle(connection: Connection, events: Sequence[Event]) -> None:
        if any(one.subject == "bad" for one in events):
            await fail(connection, "53200")

    consumer = Consumer("common", container.broker, container.database, [Subscription("common.#", handle)], totals)
    for subject in ("good", "bad", "good"):
        one = event(new_tenant(), subject=subject)
        await channel.default_exchange.publish(aio_pika.Message(encode(one)), NAMES.main)
    async with running(consumer):
        await totals.reach(3)
    assert totals.results == {"handled": 2, "delayed": 1}


@asynccontextmanager
async def owner(servers: Stack) -> AsyncIterator[SingleConnection]:
    """A connection as the owner of the database, which is never read-only."""
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=servers.state.ports["postgres"],
        user="postgres",
        password=(servers.home.secrets / "postgres/password").read_text().strip(),
        database="quartet",
        server_settings={"default_transaction_read_only": "off"},
    )
    try:
        yield connection
    finally:
        await connection.close()


END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'quartet_common'"
WAYS = {
    "open connections too": ("ALTER SYSTEM SET {}", "ALTER SYSTEM RESET {}", "SELECT pg_reload_conf()"),
    "new connections": ("ALTER ROLE quartet_common SET {}", "ALTER ROLE quartet_common RESET {}", END_SESSIONS),
    "the database": ("ALTER DATABASE quartet SET {}", "ALTER DATABASE quartet RESET {}", END_SESSIONS),
}


@asynccontextmanager
async def read_only(servers: Stack, way: str) -> AsyncIterator[None]:
    """PostgreSQL takes no writes inside the block. Sessions that were opened inside may refuse them after it too."""
    begin, end, apply = WAYS[way]
    async with owner(servers) as connection:
        await connection.execute(begin.format("default_transaction_read_only = on"))
        await connection.execute(apply)
        try:
            yield
        finally:
            await connection.execute(end.format("default_transaction_read_only"))
            await connection.execute("SELECT pg_reload_conf()")


async def is_connected(consumer: Consumer) -> bool:
    return consumer.connected


@pytest.mark.parametrize("way", WAYS)
async def test_a_postgresql_that_is_read_only_is_named_and_nothing_is_lost_or_counted(
    container: Container,
    channel: Channel,
    servers: Stack,
    event: MakeEvent,
    thing: Callable[..., DomainEvent],
    totals: Any,
    way: str,
) -> None:
    tried, subjects = 0, set[str]()

    async def record(connection: Connection, events: Sequence[Event]) -> None:
        nonlocal tried
        tried += 1
        await connection.execute("DELETE FROM inbox WHERE false")
        subjects.update(one.subject for one in events)

    async def has_tried_again() -> bool:
        return tried >= 2

    relay = Relay(container.config, container.broker, OutboxStats())
    subscriptions = [Subscription("common.#", record)]
    # without the inbox: the handler meets the error
    consumer = Consumer("common", container.broker, container.database, subscriptions, totals, take_new=inbox.take_all)
    async with container.database.transaction() as connection:
        things = [thing(str(number)) for number in range(10)]
        await outbox.add(connection, Caller(new_tenant(), "me"), things, now=container.clock(), service="common")
    async with AsyncExitStack() as parts:
        await parts.enter_async_context(running(consumer))
        await eventually(lambda: is_connected(consumer), "the consumer to be connected")
        async with read_only(servers, way):

            async def is_named() -> bool:
                [error] = await asyncio.gather(write(container), return_exceptions=True)
                return str(error) == READ_ONLY

            await eventually(is_named, "writes to be refused")
            async with container.database.connection() as connection:
                assert await connection.fetchval("SELECT 1") == 1
            with pytest.raises(UnavailableError, match="is read-only"):
                await container.database.watch.check_writable()
            await parts.enter_async_context(running(relay))
            await channel.default_exchange.publish(
                aio_pika.Message(encode(event(new_tenant(), subject="published"))), NAMES.main
            )
            await eventually(has_tried_again, "the consumer to try again")
            assert totals.results == {}
            assert (await (await channel.get_queue(NAMES.main)).declare()).message_count == 0  # none from the relay
        await eventually(lambda: is_written(container), "writes to be taken")
        await eventually(lambda: is_ready(container), "PostgreSQL to be ready")
        await totals.reach(11)
    assert totals.results == {"handled": 11}
    assert len(subjects) == 11


async def test_a_consumer_takes_no_message_that_it_could_not_handle(
    container: Container, channel: Channel, servers: Stack, event: MakeEvent, totals: Any
) -> None:
    async def ignore(*_: Any) -> None:
        return None

    consumer = Consumer("common", container.broker, container.database, [Subscription("common.#", ignore)], totals)
    asked, ask = 0, container.database.watch.check_writable

    async def counted() -> None:
        nonlocal asked
        asked += 1
        await ask()

    async def has_asked_again() -> bool:
        return asked >= 2

    container.database.watch.check_writable = counted  # type: ignore[method-assign]  # to see that it waits
    await channel.default_exchange.publish(aio_pika.Message(encode(event(new_tenant()))), NAMES.main)
    queue = await channel.get_queue(NAMES.main)
    async with read_only(servers, "new connections"), running(consumer):
        await eventually(has_asked_again, "the consumer to wait for PostgreSQL")
        declared = await queue.declare()
        assert (declared.message_count, declared.consumer_count) == (1, 0)
    async with running(Consumer("common", container.broker, container.database, [Subscription("#", ignore)], totals)):
        await totals.reach(1)
    assert totals.results == {"handled": 1}
