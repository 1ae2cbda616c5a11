"""A PostgreSQL that stands still with its connections open: nobody waits for it, and nobody else is blamed."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from quartet_cli.stack import Stack
from quartet_common.core.errors import UnavailableError
from quartet_common.core.fair_share import HOLDER
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused
from quartet_testing.messaging import Container
from quartet_testing.stopwatch import stopwatch

MOST = 2.0
"""Seconds within which a waiting request is answered, in a process that gets the processor when it wants it."""
MANY = 20
"""More than a pool has connections."""

Work = Callable[[Container], Awaitable[object]]


async def read(container: Container) -> None:
    async with container.database.connection() as connection:
        await connection.fetchval("SELECT 1")


async def write(container: Container) -> None:
    async with container.database.transaction() as connection:
        await connection.execute("CREATE TEMPORARY TABLE written (number int) ON COMMIT DROP")


async def export(container: Container) -> None:
    async with container.database.separate_snapshot(container.config) as connection:
        await connection.fetchval("SELECT 1")


async def take_in(container: Container) -> None:
    await container.database.run(lambda connection: connection.fetchval("SELECT 1"))


async def timed(work: Awaitable[object]) -> tuple[float, object]:
    """How long it took, and what came out, an error too."""
    async with stopwatch() as watch:
        [result] = await asyncio.gather(work, return_exceptions=True)
    return watch.seconds, result


async def is_answered(container: Container) -> bool:
    try:
        await read(container)
    except UnavailableError:
        return False
    return True


@pytest.mark.parametrize("holder", ["tenant", None])
async def test_whoever_waits_for_a_postgresql_that_stands_still_gets_a_503_that_names_it(
    container: Container, servers: Stack, holder: str | None
) -> None:
    token = HOLDER.set(holder)
    try:
        async with paused(servers, "postgres"):
            for _ in range(2):  # the second time it is known already
                many = (timed(work(container)) for work in [read, write, take_in, export] * (MANY // 4))
                for took, result in await asyncio.gather(*many):
                    assert (type(result), str(result)[:30]) == (UnavailableError, "503 postgresql_unavailable: po")
                    assert took < MOST
    finally:
        HOLDER.reset(token)
    await eventually(lambda: is_answered(container), "PostgreSQL to answer")
    assert container.database.connections.used == 0


async def test_a_commit_whose_answer_does_not_come_is_a_503_and_its_connection_is_closed(
    container: Container, servers: Stack
) -> None:
    used: list[Connection] = []
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def write_and_wait() -> None:
        async with container.database.transaction() as connection:
            await connection.execute("SELECT txid_current()")
            used.append(connection)
            asked.set()
            await go_on.wait()

    writing = asyncio.create_task(timed(write_and_wait()))
    await asked.wait()
    async with paused(servers, "postgres"):
        go_on.set()
        took, result = await writing
    assert took < MOST
    assert type(result) is UnavailableError
    with pytest.raises(asyncpg.InterfaceError):
        await used[0].fetchval("SELECT 1")
    await eventually(lambda: is_answered(container), "PostgreSQL to answer")


async def test_a_slow_statement_of_a_postgresql_that_answers_is_not_ended(container: Container) -> None:
    async with container.database.connection() as connection:
        before = await connection.fetchval("SELECT pg_backend_pid()")
        await connection.execute("SELECT pg_sleep(1.5)")
        assert await connection.fetchval("SELECT pg_backend_pid()") == before


async def test_a_process_that_was_busy_does_not_take_its_own_delay_for_that_of_postgresql(container: Container) -> None:
    async with container.database.connection() as connection:
        await connection.fetchval("SELECT 1")
        asking = asyncio.create_task(container.database.watch.answers())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(1)  # noqa: ASYNC251  # as a large document does that is parsed
        assert await asking
        assert await connection.fetchval("SELECT 1") == 1


async def test_requests_beyond_a_share_are_the_tenants_own_while_postgresql_answers(container: Container) -> None:
    database: Database = container.database
    token = HOLDER.set("tenant")
    try:
        sleeping = (timed(sleep(database)) for _ in range(MANY))
        results = [result for _, result in await asyncio.gather(*sleeping)]
    finally:
        HOLDER.reset(token)
    codes = [getattr(result, "code", None) for result in results]
    share = database.connections.share
    assert sorted(codes, key=str) == sorted([None] * share + ["share_exceeded"] * (MANY - share), key=str)


async def sleep(database: Database) -> None:
    """Use a connection for longer than anybody waits for one."""
    async with database.connection() as connection:
        await connection.execute("SELECT pg_sleep(1.2)")


async def meet_a_closed_protocol(container: Container, *, ends: bool) -> None:
    """Raise what asyncpg raises where a connection ends between two of its steps."""
    async with container.database.connection() as connection:
        if ends:
            connection.terminate()
        raise AttributeError("'NoneType' object has no attribute 'bind_execute'")


async def test_what_the_driver_raises_where_a_connection_ends_between_two_steps_is_a_503(container: Container) -> None:
    with pytest.raises(UnavailableError):
        await meet_a_closed_protocol(container, ends=True)
    with pytest.raises(AttributeError):
        await meet_a_closed_protocol(container, ends=False)
