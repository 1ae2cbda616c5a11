"""Database: the pool, the one place that opens transactions, and what happens when PostgreSQL is away."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from urllib.parse import quote

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from quartet_common.config import ServiceConfig
from quartet_common.errors import ContendedError, HeldError, UnavailableError
from quartet_common.fair_share import CAPACITY, HOLDER, CapacityExceededError, FairShare, ShareExceededError
from quartet_common.turns import Turns
from quartet_common.watch import NO_SPACE, Answer, Watch

logger = logging.getLogger(__name__)

T = TypeVar("T")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

OUTBOX_CHANNEL = "quartet_outbox"

UNAVAILABLE = (
    OSError,  # connection refused or reset
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server's farewell came between two statements of a transaction
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,  # class 53: no disk space, no memory, too many connections
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or a primary that was demoted
    asyncpg.PostgresSystemError,  # class 58: the files of the server
)
OF_ONE_STATEMENT = (TimeoutError, asyncpg.OutOfMemoryError, asyncpg.ConfigurationLimitExceededError)
"""Of UNAVAILABLE, what one statement may meet again and again while the server does well by all others."""
CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""PostgreSQL has undone a transaction for the sake of another; the same again may well succeed."""
OWN_CONNECTIONS = 2
"""Connections of the pool that requests leave to the process's own work: readiness, revocations, clock, limits."""
GATHERING = 0.002
"""Seconds in which commits share one NOTIFY, which costs the writer, PostgreSQL and the relay a round trip each."""
WAKERS = 1
"""Connections of the pool that the OutboxWaker may use."""
MAX_WAITING = 1000
"""Requests of one tenant that may wait for a connection."""
ATTEMPTS = 3
LONGEST_PAUSE = 0.05
"""Seconds, doubled by each attempt: at most so long is the random pause after which it does not meet the same again."""


@dataclass
class _Outgoing:
    """What follows the commit of the transaction that runs: whether it has written into the outbox, and actions."""

    has_events: bool = False
    actions: list[Callable[[], None]] = field(default_factory=list)


_running: ContextVar[_Outgoing | None] = ContextVar("quartet_transaction", default=None)


def note_outgoing() -> None:
    """Have the relay woken once the transaction that runs has been committed."""
    outgoing = _running.get()
    if outgoing is not None:
        outgoing.has_events = True


def after_commit(action: Callable[[], None]) -> None:
    """Have `action` run as soon as the transaction that runs is committed, and not at all if it is rolled back.

    It keeps the memory of this process in step with the database, whatever the caller of the transaction does next.
    Raises RuntimeError outside of a transaction.
    """
    outgoing = _running.get()
    if outgoing is None:
        raise RuntimeError("after_commit needs a transaction of Database.transaction")
    outgoing.actions.append(action)


class Database:
    """A pool of connections to the service's own schema.

    A request takes its connection from its tenant's share of `connections`. So everything that gives a connection
    raises ShareExceededError (429) when the tenant uses its whole share for `acquire_timeout` seconds, and
    CapacityExceededError (503) when the pool is exhausted. Only the pool limits schedules and other own work.
    """

    def __init__(self, pool: Pool, *, channel: str, acquire_timeout: float, watch: Watch) -> None:
        self.pool = pool
        self.watch = watch
        self.connections = _connection_shares(pool.get_max_size(), acquire_timeout)
        self._acquire_timeout = acquire_timeout
        self.taken = 0
        """Connections of the pool that blocks use, or are about to get."""
        self._waker = OutboxWaker(pool, channel)
        self._turns = Turns()

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """A connection inside a transaction: committed at the end, rolled back on any exception.

        Raises UnavailableError (503) when PostgreSQL does not answer, ContendedError (503) when it has undone the
        transaction because of another one: `run` tries again.
        """
        return self._command(begins=True)

    def statement(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a command of one statement, which is a transaction by itself: BEGIN and COMMIT would be two
        more round trips. Raises what `transaction` raises.
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
            self._waker.wake()

    async def run(self, command: Callable[[Connection], Awaitable[T]]) -> T:
        """Carry out `command` in a transaction, and again from its start if PostgreSQL undoes it because of another.

        `command` may run up to ATTEMPTS times: what it does outside of its transaction it would do as often. Raises
        UnavailableError (503), ContendedError (503) when the last attempt was undone too.
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
        """As `run`, for a `command` that raises HeldError where another transaction holds `what`: then it waits, at
        most PATIENCE, without a connection. So a tenant that waits for itself keeps nobody else out.

        Raises what `run` does, and HeldError (503).
        """
        return await self._turns.run(what, lambda: self.run(command))

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection without a transaction, for reads of one statement. Raises UnavailableError (503)."""
        return _Acquired(self, self._acquire_timeout)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection in a read-only transaction that sees one moment, for reads of many statements."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    @asynccontextmanager
    async def separate_snapshot(self, config: ServiceConfig) -> AsyncIterator[Connection]:
        """As `snapshot`, on a connection outside the pool: for reads that take longer than a request."""
        with _unavailable():
            connection = await connect_once(config, config.database_timeout, timeout=self._acquire_timeout)
            self.watch.in_use.add(connection)
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    yield connection
                await connection.close(timeout=2)
            finally:
                self.watch.in_use.discard(connection)
                connection.terminate()  # does nothing to one that is closed

    async def close(self) -> None:
        """Let what runs finish, then close every connection; a server that is away is not waited for."""
        await self.watch.close()
        await self._waker.close()
        try:
            await asyncio.wait_for(self.pool.close(), timeout=5)
        except TimeoutError:
            self.pool.terminate()


class _Acquired(AbstractAsyncContextManager[Connection]):
    """A connection of the pool within its tenant's share of connections, for a block. Errors of the driver that mean
    that PostgreSQL is away become UnavailableError, contention becomes ContendedError.

    Every statement needs one: a class costs less than a generator with `FairShare.hold` inside.
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
            with _unavailable():
                self._connection = await self._take()
        except BaseException:
            self._release_share()
            raise
        self._watch.in_use.add(self._connection)
        return self._connection

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._watch.in_use.discard(self._connection)
        if error is None:
            self._watch.last_answer = time.monotonic()
        try:
            with _unavailable():
                if error is not None:
                    await self._watch.note_failure(error)
                await self._pool.release(self._connection, timeout=self._timeout)
        finally:
            self._release_share()
        _raise_for(error)

    async def _take(self) -> "PoolConnectionProxy[asyncpg.Record]":
        """A connection of the pool. Raises CapacityExceededError when all are in use for `timeout` seconds."""
        if self._watch.is_hanging:
            raise UnavailableError("postgresql", problem=Answer.NONE.value)
        if self._database.taken + WAKERS <= self._pool.get_max_size():
            return await self._pool.acquire()  # one is free: there is nothing to wait for, but connecting has a limit
        try:
            return await self._pool.acquire(timeout=self._timeout)
        except TimeoutError:
            if self._has_room() or not await self._watch.answers():
                raise
            self._shares.refusals[CAPACITY] += 1
            raise CapacityExceededError(self._shares.resource) from None

    async def _acquire_share(self, holder: Hashable) -> None:
        """Raises ShareExceededError and CapacityExceededError; but UnavailableError where PostgreSQL does not answer:
        then it keeps the connections, not the tenant.
        """
        try:
            await self._shares.acquire(holder)
        except (ShareExceededError, CapacityExceededError):
            if not await self._watch.answers():
                raise UnavailableError("postgresql", problem=Answer.NONE.value) from None
            raise

    def _has_room(self) -> bool:
        """Whether the pool has room for a connection: then it was PostgreSQL that did not accept it in time."""
        return bool(self._pool.get_idle_size()) or self._pool.get_size() < self._pool.get_max_size()

    def _release_share(self) -> None:
        self._database.taken -= 1
        if self._holder is not None:
            self._shares.release(self._holder)


class OutboxWaker:
    """Tells the relay, after a commit, that the outbox has rows.

    The NOTIFY is sent outside the writing transaction: inside, PostgreSQL would serialise all commits of the database
    on one lock while each is flushed. Many commits share one NOTIFY; one that is lost costs a poll interval.
    """

    def __init__(self, pool: Pool, channel: str) -> None:
        self._pool = pool
        self._channel = channel
        self._pending = False
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Have a NOTIFY sent soon; returns at once."""
        self._pending = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._notify())

    async def _notify(self) -> None:
        while self._pending:
            await asyncio.sleep(GATHERING)
            self._pending = False
            try:
                await self._pool.execute("SELECT pg_notify($1, '')", self._channel)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                logger.debug("the relay was not woken and will poll", extra={"error": str(error)})

    async def close(self) -> None:
        """Wait for a NOTIFY that is on its way."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1)


class _unavailable:  # noqa: N801  # reads as a statement
    """Turns the driver's many ways to say that PostgreSQL is away into UnavailableError; contention into its own."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        _raise_for(error)


def _raise_for(error: BaseException | None) -> None:
    """Raise what an error of the driver means, if it means that PostgreSQL is away or that transactions contend."""
    if isinstance(error, UNAVAILABLE):
        raise UnavailableError("postgresql", problem=_problem(error)) from error
    if isinstance(error, CONTENDED):
        raise ContendedError("postgresql") from error


def _problem(error: BaseException) -> str:
    """What PostgreSQL cannot do, as an error message says it."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "has no server of the kind that target_session_attrs asks for"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Answer.READ_ONLY.value
    if isinstance(error, asyncpg.DiskFullError):
        return NO_SPACE
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return "accepts no more connections"
    return Answer.ERROR.value


def _connection_shares(size: int, timeout: float) -> FairShare:
    """How tenants share a pool of `size` connections: one uses at most three quarters of what requests may use."""
    capacity = max(1, size - OWN_CONNECTIONS)
    return FairShare("database connections", capacity, max(1, capacity * 3 // 4), queue=MAX_WAITING, timeout=timeout)


def outbox_channel(service: str) -> str:
    """The NOTIFY channel on which `service`'s relay listens."""
    return f"{OUTBOX_CHANNEL}_{service}"


async def connect_once(
    config: ServiceConfig, statement_timeout: float | None = None, *, timeout: float = 5.0
) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection outside any pool, for migrations, the relay, the probe and exports.

    `statement_timeout` and `timeout`, that of connecting, are in seconds.
    """
    return await asyncpg.connect(
        _url(config),
        password=config.database_password.get_secret_value(),
        timeout=timeout,
        command_timeout=statement_timeout,
        server_settings=_server_settings(config),
    )


async def connect_directly(config: ServiceConfig) -> "asyncpg.Connection[asyncpg.Record]":
    """As `connect_once`, for the start of a process. Raises SystemExit, with the reason, if a connection pooler such as
    PgBouncer answers: it gives a client's transactions to different sessions, and Quartet needs one session.
    """
    try:
        connection = await connect_once(config)
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" in str(error):
            raise _pooler_refused(config) from error
        raise
    try:
        # a pooler makes up the number that a client is told, which cancels statements through the pooler
        is_direct = await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid()
    except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
        is_direct = False
    if not is_direct:
        connection.terminate()
        raise _pooler_refused(config)
    return connection


def _pooler_refused(config: ServiceConfig) -> SystemExit:
    there = config.database_url.rpartition("@")[2].partition("/")[0]
    return SystemExit(
        f"QUARTET_DATABASE_URL leads to a connection pooler at {there}. Sessions of PostgreSQL are needed (LISTEN, "
        "advisory locks, prepared statements, search_path): set it to the address of PostgreSQL. Each process has a "
        "pool of its own; QUARTET_DATABASE_POOL_MAX is its size."
    )


async def open_database(config: ServiceConfig) -> Database:
    """Connect a pool to the service's schema. Raises the driver's error when PostgreSQL is away."""
    pool = await asyncpg.create_pool(
        _url(config),
        password=config.database_password.get_secret_value(),
        min_size=config.database_pool_min,
        max_size=config.database_pool_max,
        command_timeout=config.database_timeout,
        timeout=config.database_acquire_timeout,
        server_settings=_server_settings(config),
        reset=_no_reset,
    )
    watch = Watch(pool, lambda: connect_once(config))
    watch.start()
    channel = outbox_channel(config.service)
    return Database(pool, channel=channel, acquire_timeout=config.database_acquire_timeout, watch=watch)


def _url(config: ServiceConfig) -> str:
    """The URL; where it asks for a verified server and does not say by whom, by QUARTET_TRUST."""
    url = config.database_url
    if config.trust is None or "sslmode=verify-" not in url or "sslrootcert=" in url:
        return url
    return f"{url}&sslrootcert={quote(str(config.trust), safe='/')}"


def _server_settings(config: ServiceConfig) -> dict[str, str]:
    return {"search_path": config.service, "application_name": f"quartet-{config.service}", "jit": "off"}


async def _no_reset(connection: object) -> None:
    """Session state is never changed on pooled connections, so the driver's reset round trip would buy nothing."""
