"""The watch: checks whether PostgreSQL answers and takes writes, and ends connections that hang."""

import asyncio
import enum
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection, Pool, SingleConnection
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

SILENCE = 0.2
"""Seconds without an answer after which the probe checks PostgreSQL."""
PROBE_INTERVAL = 1.0
"""Seconds between two probes of a healthy server, to notice a demoted primary."""
NO_SPACE = "has no disk space left"
FULL_PERIOD = 5.0
"""Seconds after a disk-full error during which the database counts as not writable."""

WINDOWS, WINDOW = 3, 0.2
"""The timeout of the probe: WINDOWS times WINDOW seconds. After each window the event loop reads pending data, so that
a busy process does not blame PostgreSQL for its own delay.
"""
WINDOWS_OF_RETURN = 10
"""The same while PostgreSQL does not answer: a new connection takes longer, and no request waits for the result."""


class Answer(enum.Enum):
    """The result of a probe."""

    PRIMARY = "can be written to"
    READ_ONLY = "is read-only"
    ERROR = "is unavailable"
    NONE = "does not answer"


class Probe:
    """A connection for probes of PostgreSQL, one at a time."""

    def __init__(self, connect: Callable[[], Awaitable[SingleConnection]]) -> None:
        self._connect = connect
        self._connection: SingleConnection | None = None

    async def ask(self, windows: int) -> Answer:
        """The state of PostgreSQL now; takes at most `windows` * WINDOW seconds."""
        question = asyncio.create_task(self._question())
        try:
            for _ in range(windows):
                await asyncio.wait([question], timeout=WINDOW)
                if question.done():
                    return question.result()
            self.reconnect()
        finally:
            await end_tasks([question])
        return Answer.NONE

    async def _question(self) -> Answer:
        try:
            with suppress_instrumentation():  # it belongs to no trace
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                is_primary = await self._connection.fetchval("SELECT current_setting('transaction_read_only') = 'off'")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            logger.debug("the probe failed", extra={"error": f"{type(error).__name__}: {error}"})
            return Answer.ERROR
        return Answer.PRIMARY if is_primary else Answer.READ_ONLY

    def reconnect(self) -> None:
        """Make the next probe on a new connection, which may lead to another server."""
        if self._connection is not None:
            self._connection.terminate()


class Watch:
    """Probes PostgreSQL while statements wait for it, and once a second.

    While PostgreSQL does not answer, `is_hanging` is true and only the probe is sent.
    """

    def __init__(
        self,
        pool: Pool,
        connect: Callable[[], Awaitable[SingleConnection]],
        opened: Collection[SingleConnection],
    ) -> None:
        """`opened` has the connections of `pool`."""
        self._pool = pool
        self._opened = opened
        self._probe = Probe(connect)
        self._watching: asyncio.Task[None] | None = None
        self._running_check: asyncio.Task[Answer] | None = None
        self._full_until = 0.0
        self._left_at = -PROBE_INTERVAL
        self._may_be_elsewhere = False
        """Whether the pool may have connections to a server that is not the primary."""
        self.is_hanging = False
        self.in_use: set[Connection] = set()
        """Connections with statements that may hang."""
        self.last_answer = 0.0
        """When PostgreSQL last completed a command of this process, by time.monotonic."""

    async def note_failure(self, error: BaseException) -> None:
        """Record the state of the server that an error implies, before its connection returns to the pool."""
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            await self._leave_server()
        elif isinstance(error, asyncpg.DiskFullError):
            self._full_until = time.monotonic() + FULL_PERIOD

    async def answers(self) -> bool:
        """Whether PostgreSQL answers. If not, waiting statements end with UnavailableError (503); whether they take
        effect later is unknown.
        """
        return await self._check() in (Answer.PRIMARY, Answer.READ_ONLY)

    async def check_writable(self) -> None:
        """Raises UnavailableError (503) with the reason unless PostgreSQL answers as a primary and no statement has met
        a full disk lately.
        """
        answer = await self._check()
        if answer is not Answer.PRIMARY:
            raise UnavailableError("postgresql", problem=answer.value)
        if time.monotonic() < self._full_until:
            raise UnavailableError("postgresql", problem=NO_SPACE)

    def start(self) -> None:
        """Begin to watch, until `close`."""
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End the watch and its connection."""
        await end_tasks([task for task in (self._watching, self._running_check) if task is not None])
        self._probe.reconnect()

    async def _watch(self) -> None:
        started = time.monotonic()
        while True:
            await asyncio.sleep(SILENCE)
            now = time.monotonic()
            is_silent = bool(self.in_use) and now - self.last_answer >= SILENCE
            if is_silent or self.is_hanging or now - started >= PROBE_INTERVAL:
                started = now
                try:
                    await self._check()
                except Exception:  # the watch must survive any driver error
                    logger.exception("PostgreSQL could not be asked whether it answers")

    async def _check(self) -> Answer:
        """The result of a probe. Concurrent callers share one."""
        if self._running_check is None or self._running_check.done():
            self._running_check = asyncio.create_task(self._check_once())
        return await asyncio.shield(self._running_check)

    async def _check_once(self) -> Answer:
        started = time.monotonic()
        answer = await self._probe.ask(WINDOWS_OF_RETURN if self.is_hanging else WINDOWS)
        if answer is Answer.NONE and self.last_answer >= started:
            answer = Answer.PRIMARY  # slow, but other statements were answered
        elif answer is Answer.READ_ONLY:
            await self._leave_server()
        elif answer is Answer.PRIMARY and self._may_be_elsewhere:
            self._may_be_elsewhere = False
            await self._pool.expire_connections()  # those that were opened before the address led to the primary
        self._set_hanging(answer is Answer.NONE)
        return answer

    def _set_hanging(self, is_hanging: bool) -> None:
        if is_hanging != self.is_hanging:
            logger.warning("PostgreSQL does not answer" if is_hanging else "PostgreSQL answers again")
        self.is_hanging = is_hanging
        if is_hanging:
            for connection in (*self.in_use, *self._opened):  # also idle ones: their server may be dead
                with suppress(asyncpg.InterfaceError):  # it has ended already
                    connection.terminate()

    async def _leave_server(self) -> None:
        """Replace the connections to the former primary by new ones, which find the current primary."""
        self._may_be_elsewhere = True
        now = time.monotonic()
        if now - self._left_at < PROBE_INTERVAL:
            return  # they are new
        self._left_at = now
        self._probe.reconnect()
        await self._pool.expire_connections()
