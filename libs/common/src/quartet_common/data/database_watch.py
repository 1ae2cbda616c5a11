"""The watch: whether PostgreSQL answers and can be written to, and what follows for connections if not."""

import asyncio
import enum
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from quartet_common.core.errors import UnavailableError
from quartet_common.data.connections import Connection, Pool, SingleConnection
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

SILENCE = 0.2
"""Seconds without an answer after which PostgreSQL is asked whether it answers at all."""
PROBE_INTERVAL = 1.0
"""Seconds between two questions when all is well: they find a primary that was demoted."""
NO_SPACE = "has no disk space left"
FULL_PERIOD = 5.0
"""Seconds after an error of a full disk in which the database does not count as writable."""

WINDOWS, WINDOW = 3, 0.2
"""How long PostgreSQL may take to answer the probe: WINDOWS times WINDOW seconds. After each, the event loop reads what
has arrived, so a process that was busy for longer than that does not take its own delay for PostgreSQL's.
"""
WINDOWS_OF_RETURN = 10
"""The same while PostgreSQL does not answer: the probe connects anew then, which takes longer, and nobody waits."""


class Answer(enum.Enum):
    """What PostgreSQL answers to the probe."""

    PRIMARY = "can be written to"
    READ_ONLY = "is read-only"
    ERROR = "is unavailable"
    NONE = "does not answer"


class Probe:
    """A connection on which PostgreSQL is asked whether it answers, one question at a time."""

    def __init__(self, connect: Callable[[], Awaitable[SingleConnection]]) -> None:
        self._connect = connect
        self._connection: SingleConnection | None = None

    async def ask(self, windows: int) -> Answer:
        """What PostgreSQL answers now; takes `windows` * WINDOW seconds at most."""
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
            with suppress_instrumentation():  # it belongs to nobody's trace
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                is_primary = await self._connection.fetchval("SELECT current_setting('transaction_read_only') = 'off'")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            logger.debug("the probe failed", extra={"error": f"{type(error).__name__}: {error}"})
            return Answer.ERROR
        return Answer.PRIMARY if is_primary else Answer.READ_ONLY

    def reconnect(self) -> None:
        """Ask the next question on a new connection, which may lead to another server."""
        if self._connection is not None:
            self._connection.terminate()


class Watch:
    """Asks when statements wait for an answer, and once a second.

    While PostgreSQL answers nobody, `is_hanging` is true and nothing but the probe is sent to it.
    """

    def __init__(self, pool: Pool, connect: Callable[[], Awaitable[SingleConnection]]) -> None:
        self._pool = pool
        self._probe = Probe(connect)
        self._watching: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Answer] | None = None
        self._full_until = 0.0
        self._left_at = -PROBE_INTERVAL
        self._may_be_elsewhere = False
        """Whether the pool may have connections to a server that is no primary."""
        self.is_hanging = False
        self.in_use: set[Connection] = set()
        """Connections on which statements may wait."""
        self.last_answer = 0.0
        """When PostgreSQL has last finished something for this process, by time.monotonic."""

    async def note_failure(self, error: BaseException) -> None:
        """Remember what an error says of the server, before its connection goes back to the pool."""
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            await self._leave_server()
        elif isinstance(error, asyncpg.DiskFullError):
            self._full_until = time.monotonic() + FULL_PERIOD

    async def answers(self) -> bool:
        """Whether PostgreSQL answers anybody. If not, the statements that wait for it end with UnavailableError (503);
        whether they take effect later is not known.
        """
        return await self._ask() in (Answer.PRIMARY, Answer.READ_ONLY)

    async def check_writable(self) -> None:
        """Raises UnavailableError (503), which says why, unless PostgreSQL answers as a primary and no statement has
        met a full disk lately.
        """
        answer = await self._ask()
        if answer is not Answer.PRIMARY:
            raise UnavailableError("postgresql", problem=answer.value)
        if time.monotonic() < self._full_until:
            raise UnavailableError("postgresql", problem=NO_SPACE)

    def start(self) -> None:
        """Begin to watch, until `close`."""
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End the watch and its connection."""
        await end_tasks([task for task in (self._watching, self._asking) if task is not None])
        self._probe.reconnect()

    async def _watch(self) -> None:
        asked = time.monotonic()
        while True:
            await asyncio.sleep(SILENCE)
            now = time.monotonic()
            is_silent = bool(self.in_use) and now - self.last_answer >= SILENCE
            if is_silent or self.is_hanging or now - asked >= PROBE_INTERVAL:
                asked = now
                try:
                    await self._ask()
                except Exception:  # the watch goes on, whatever a driver raises
                    logger.exception("PostgreSQL could not be asked whether it answers")

    async def _ask(self) -> Answer:
        """What PostgreSQL answers. Callers that ask while a question runs share its answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_once())
        return await asyncio.shield(self._asking)

    async def _ask_once(self) -> Answer:
        asked = time.monotonic()
        answer = await self._probe.ask(WINDOWS_OF_RETURN if self.is_hanging else WINDOWS)
        if answer is Answer.NONE and self.last_answer >= asked:
            answer = Answer.PRIMARY  # it is slow, but others have got their answers
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
            for connection in list(self.in_use):
                with suppress(asyncpg.InterfaceError):  # it has ended already
                    connection.terminate()

    async def _leave_server(self) -> None:
        """Replace the connections, which lead to what was the primary, by new ones that find the primary of now."""
        self._may_be_elsewhere = True
        now = time.monotonic()
        if now - self._left_at < PROBE_INTERVAL:
            return  # they are new
        self._left_at = now
        self._probe.reconnect()
        await self._pool.expire_connections()
