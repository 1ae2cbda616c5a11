"""Database: the pool, transactions, and errors while PostgreSQL is unavailable."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakSet

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import ContendedError, HeldError, UnavailableError
from quartet_common.core.fair_share import CAPACITY, HOLDER, CapacityExceededError, FairShare, ShareExceededError
from quartet_common.data.connections import Connection, Pool, SingleConnection, connect_once, open_pool
from quartet_common.data.database_errors import raise_meaning, unavailable
from quartet_common.data.database_watch import Answer, Watch
from quartet_common.data.outbox_notifier import OutboxNotifier, outbox_channel
from quartet_common.data.wait_queue import WaitQueues

logger = logging.getLogger(__name__)

T = TypeVar("T")

OWN_CONNECTIONS = 2
"""Connections of the pool that are reserved for the process: readiness, revocations, clock, limits."""
UNCOUNTED_CONNECTIONS = 2
"""Connections of the pool that `Database.taken` does not count: the OutboxNotifier's, and one that the pool opens."""
MAX_WAITING = 1000
"""Requests of one tenant that may wait for a connection."""
ATTEMPTS = 3
LONGEST_PAUSE = 0.05
"""Seconds, doubled at each attempt: the maximum of the random pause before a retry, so that two transactions do not
collide again.
"""


@dataclass
class _Outgoing:
    """What follows the commit of the current transaction: a NOTIFY if it wrote outbox rows, and actions."""

    has_events: bool = False
    actions: list[Callable[[], None]] = field(default_factory=list)


_running: ContextVar[_Outgoing | None] = ContextVar("quartet_transaction", default=None)


def note_outgoing() -> None:
    """Notify the relay once the current transaction is committed."""
    outgoing = _running.get()
    if outgoing is not None:
        outgoing.has_events = True


def after_commit(action: Callable[[], None]) -> None:
    """Run `action` as soon as the current transaction is committed; not if it is rolled back.

    For state in memory that must match the database whatever the caller does next. Raises RuntimeError outside of a
    transaction.
    """
    outgoing = _running.get()
    if outgoing is None:
        raise RuntimeError("after_commit needs a transaction of Database.transaction")
    outgoing.actions.append(action)


class Database:
    """A pool of connections to the service's own schema.

    A request takes its connection from its tenant's share of `connections`. So all methods that return a connection
    raise ShareExceededError (429) if the tenant uses its whole share for `acquire_timeout` seconds, and
    CapacityExceededError (503) if the pool is exhausted. Schedules and other work of the process are limited by the
    pool only.
    """

    def __init__(self, pool: Pool, *, channel: str, acquire_timeout: float, watch: Watch) -> None:
        self.pool = pool
        self.watch = watch
        self.connections = _connection_shares(pool.get_max_size(), acquire_timeout)
        self._acquire_timeout = acquire_timeout
        self.taken = 0
        """Connections of the pool that are in use or about to be."""
        self._notifier = OutboxNotifier(pool, channel)
        self._wait_queues = WaitQueues()

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """A connection inside a transaction: committed at the end, rolled back on any exception.

        Raises UnavailableError (503) if PostgreSQL does not answer, ContendedError (503) if it rolled the transaction
        back in favour of another one: `run` tries again.
        """
        return self._command(begins=True)

    def statement(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a command of one statement, which is its own transaction: saves the round trips of BEGIN and
        COMMIT. Raises what `transaction` raises.
        """
        return self._command(begins=False)

    @asynccontextmanager
    async def _command(self, *, begins: bool) -> AsyncIterator[Connection]:
        outgoing = _Outgoing()
        token = _running.set(outgoing)
        try:
            async with self.connection() as connection:
                async with connection.transaction() if begins else nullcontext():
                    yield connection
                for action in outgoing.actions:
                    action()
        finally:
            _running.reset(token)
        if outgoing.has_events:
            self._notifier.notify()

    async def run(self, command: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `command` in a transaction; repeat it if PostgreSQL rolls it back in favour of another one.

        `command` may run up to ATTEMPTS times, with its effects outside of the transaction. Raises UnavailableError
        (503), ContendedError (503) if the last attempt was rolled back too.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                async with self.transaction() as connection:
                    return await command(connection)
            except HeldError:
                raise
            except ContendedError as error:
                logger.info("retrying a transaction", extra={"attempt": attempt, "error": str(error.__cause__)})
            await asyncio.sleep(random.uniform(0, LONGEST_PAUSE * 2**attempt))  # noqa: S311  # nosec B311  # nothing is secret here
        async with self.transaction() as connection:
            return await command(connection)

    async def run_in_turn(self, what: str, command: Callable[[Connection], Awaitable[T]]) -> T:
        """As `run`, for a `command` that raises HeldError while another transaction holds `what`: it then waits, at
        most WAIT_TIMEOUT, without a connection, so a tenant that waits for its own change does not use up the pool.

        Raises what `run` does, and HeldError (503).
        """
        return await self._wait_queues.run(what, lambda: self.run(command))

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection without a transaction, for reads of one statement. Raises UnavailableError (503)."""
        return _Acquired(self, self._acquire_timeout)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection in a read-only transaction that sees one moment, for reads of several statements."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    @asynccontextmanager
    async def separate_snapshot(self, config: ServiceConfig) -> AsyncIterator[Connection]:
        """As `snapshot`, on a connection outside the pool: for reads that take longer than a request."""
        with unavailable():
            connection = await connect_once(config, config.database_timeout, timeout=self._acquire_timeout)
            self.watch.in_use.add(connection)
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    yield connection
                await connection.close(timeout=2)
            finally:
                self.watch.in_use.discard(connection)
                connection.terminate()  # no effect on a closed connection

    async def close(self) -> None:
        """Let running commands finish, then close every connection, without waiting for a server that does not
        answer.
        """
        is_hanging = self.watch.is_hanging
        await self.watch.close()
        await self._notifier.close()
        if is_hanging:
            self.pool.terminate()
            return
        try:
            await asyncio.wait_for(self.pool.close(), timeout=5)
        except TimeoutError:
            self.pool.terminate()


class _Acquired(AbstractAsyncContextManager[Connection]):
    """A connection of the pool within its tenant's share, for a block. Driver errors become UnavailableError if
    PostgreSQL is unavailable, and ContendedError for contention.

    A class, since every statement needs one and a generator with `FairShare.hold` costs more.
    """

    def __init__(self, database: Database, timeout: float) -> None:
        self._database = database
        self._pool = database.pool
        self._watch = database.watch
        self._shares = database.connections
        self._timeout = timeout
        self._holder = HOLDER.get()
        self._connection: PoolConnectionProxy[asyncpg.Record]

    async def __aenter__(self) -> Connection:
        if self._holder is not None:
            await self._acquire_share(self._holder)
        self._database.taken += 1
        try:
            with unavailable():
                self._connection = await self._take()
        except BaseException:
            self._release_share()
            raise
        self._watch.in_use.add(self._connection)
        return self._connection

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._watch.in_use.discard(self._connection)
        is_ended = error is not None and _has_ended(self._connection)
        if error is None:
            self._watch.last_answer = time.monotonic()
        try:
            with unavailable():
                if error is not None:
                    await self._watch.note_failure(error)
                await self._pool.release(self._connection, timeout=self._timeout)
        finally:
            self._release_share()
        if isinstance(error, AttributeError) and is_ended:
            raise UnavailableError("postgresql") from error  # asyncpg raises it if a connection ends
        raise_meaning(error)

    async def _take(self) -> "PoolConnectionProxy[asyncpg.Record]":
        """A connection of the pool. Raises CapacityExceededError if all are in use for `timeout` seconds."""
        if self._watch.is_hanging:
            raise UnavailableError("postgresql", problem=Answer.NONE.value)
        if self._database.taken + UNCOUNTED_CONNECTIONS <= self._pool.get_max_size():
            return await self._pool.acquire()  # one is free: only connecting may take time, and has its own timeout
        try:
            return await self._pool.acquire(timeout=self._timeout)
        except TimeoutError:
            if self._has_room() or not await self._watch.answers():
                raise
            self._shares.refusals[CAPACITY] += 1
            raise CapacityExceededError(self._shares.resource) from None

    async def _acquire_share(self, holder: Hashable) -> None:
        """Raises ShareExceededError and CapacityExceededError; UnavailableError if PostgreSQL does not answer, since
        then the connections are not held by the tenant.
        """
        try:
            await self._shares.acquire(holder)
        except (ShareExceededError, CapacityExceededError):
            if not await self._watch.answers():
                raise UnavailableError("postgresql", problem=Answer.NONE.value) from None
            raise

    def _has_room(self) -> bool:
        """Whether the pool may open or has a free connection: then PostgreSQL was the reason for the timeout."""
        return bool(self._pool.get_idle_size()) or self._pool.get_size() < self._pool.get_max_size()

    def _release_share(self) -> None:
        self._database.taken -= 1
        if self._holder is not None:
            self._shares.release(self._holder)


def _has_ended(connection: Connection) -> bool:
    """Whether a connection of the pool was closed, by the server or by the watch."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # it was released to the pool
        return True


def _connection_shares(size: int, timeout: float) -> FairShare:
    """The shares of a pool of `size` connections: a tenant uses at most three quarters of those for requests."""
    capacity = max(1, size - OWN_CONNECTIONS)
    return FairShare("database connections", capacity, max(1, capacity * 3 // 4), queue=MAX_WAITING, timeout=timeout)


async def open_database(config: ServiceConfig) -> Database:
    """Open a pool of connections to the service's schema. Raises the driver's error if PostgreSQL is unavailable."""
    opened: WeakSet[SingleConnection] = WeakSet()
    pool = await open_pool(config, opened)
    watch = Watch(pool, lambda: connect_once(config), opened)
    watch.start()
    channel = outbox_channel(config.service)
    return Database(pool, channel=channel, acquire_timeout=config.database_acquire_timeout, watch=watch)
