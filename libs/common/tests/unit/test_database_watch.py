"""The watch: what follows for connections when PostgreSQL answers nobody, or is no primary any more."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import asyncpg
import pytest

from quartet_common.core.errors import UnavailableError
from quartet_common.data.database_watch import Watch


class Server:
    """Answers the probe as the test says; True for a primary, None for no answer."""

    def __init__(self, is_primary: bool | None = True) -> None:
        self.is_primary = is_primary
        self.asked = asyncio.Event()

    async def connect(self) -> Any:
        return Session(self)


class Session:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.is_ended = False

    def is_closed(self) -> bool:
        return self.is_ended

    def terminate(self) -> None:
        self.is_ended = True

    async def fetchval(self, _query: str) -> bool:
        self.server.asked.set()
        if self.server.is_primary is None:
            await asyncio.Event().wait()
        return bool(self.server.is_primary)


class Pool:
    """Counts how often all connections were replaced."""

    def __init__(self) -> None:
        self.expired = 0
        self.opened: list[InUse] = []

    async def expire_connections(self) -> None:
        self.expired += 1


class InUse:
    """A connection of the pool, which raises what asyncpg's proxy raises once it has ended."""

    def __init__(self, *, has_ended: bool = False) -> None:
        self.has_ended = has_ended

    def terminate(self) -> None:
        if self.has_ended:
            raise asyncpg.InterfaceError("connection has been released back to the pool")
        self.has_ended = True


MakeWatch = Callable[[Server], Watch]


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def watch_of(pool: Pool) -> MakeWatch:
    return lambda server: Watch(
        cast(Any, pool), cast(Callable[[], Awaitable[Any]], server.connect), cast(Any, pool.opened)
    )


async def test_whoever_asks_while_nobody_is_answered_learns_it_and_each_connection_ends_once(
    watch_of: MakeWatch,
) -> None:
    watch, connections = watch_of(Server(None)), [InUse(), InUse(has_ended=True), InUse()]
    watch.in_use.update(cast(Any, connections))
    assert await asyncio.gather(*(watch.answers() for _ in range(5))) == [False] * 5
    assert all(one.has_ended for one in connections)
    with pytest.raises(UnavailableError, match="does not answer"):
        await watch.check_writable()
    await watch.close()


async def test_idle_connections_to_a_server_that_does_not_answer_end_too(watch_of: MakeWatch, pool: Pool) -> None:
    pool.opened.append(InUse())
    watch = watch_of(Server(None))
    assert not await watch.answers()
    assert pool.opened[0].has_ended
    await watch.close()


async def test_who_asks_late_does_not_overlook_an_answer_that_others_got(watch_of: MakeWatch) -> None:
    server = Server(None)
    watch, connection = watch_of(server), InUse()
    watch.in_use.add(cast(Any, connection))
    first = asyncio.create_task(watch.answers())
    await server.asked.wait()
    watch.last_answer = time.monotonic()
    assert list(await asyncio.gather(first, watch.answers())) == [True, True]
    assert not connection.has_ended
    assert not watch.is_hanging
    await watch.close()


async def test_connections_are_replaced_again_once_the_address_leads_to_the_new_primary(
    watch_of: MakeWatch, pool: Pool
) -> None:
    server = Server(is_primary=False)
    watch = watch_of(server)
    with pytest.raises(UnavailableError, match="is read-only"):
        await watch.check_writable()
    assert pool.expired == 1
    server.is_primary = True  # meanwhile the pool may have connected to the old one again
    await watch.check_writable()
    assert pool.expired == 2
    await watch.check_writable()
    assert pool.expired == 2
    await watch.close()


async def test_a_server_that_answers_again_is_found(watch_of: MakeWatch) -> None:
    server = Server(None)
    watch = watch_of(server)
    assert (await watch.answers(), watch.is_hanging) == (False, True)
    server.is_primary = True
    assert (await watch.answers(), watch.is_hanging) == (True, False)
    await watch.close()
