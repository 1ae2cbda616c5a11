"""The probe: asks PostgreSQL, on a connection of its own, whether it answers and whether it can be written to."""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from quartet_common.tasks import end_tasks

logger = logging.getLogger(__name__)

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

WINDOWS, WINDOW = 3, 0.2
"""How long PostgreSQL may take to answer the probe: WINDOWS times WINDOW seconds. After each, the event loop reads what
has arrived, so a process that was busy for longer than that does not take its own delay for PostgreSQL's.
"""


class Answer(enum.Enum):
    """What PostgreSQL answers to the probe."""

    PRIMARY = "can be written to"
    READ_ONLY = "is read-only"
    ERROR = "is unavailable"
    NONE = "does not answer"


class Probe:
    """One question at a time; whoever asks meanwhile gets the same answer."""

    def __init__(self, connect: Callable[[], Awaitable[Session]]) -> None:
        self._connect = connect
        self._session: Session | None = None
        self._asking: asyncio.Task[Answer] | None = None

    async def ask(self) -> Answer:
        """What PostgreSQL answers now; takes WINDOWS * WINDOW seconds at most."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Answer:
        question = asyncio.create_task(self._question())
        for _ in range(WINDOWS):
            await asyncio.wait([question], timeout=WINDOW)
            if question.done():
                return question.result()
        self.reconnect()
        await end_tasks([question])
        return Answer.NONE

    async def _question(self) -> Answer:
        try:
            with suppress_instrumentation():  # it belongs to nobody's trace
                if self._session is None or self._session.is_closed():
                    self._session = await self._connect()
                is_primary = await self._session.fetchval("SELECT current_setting('transaction_read_only') = 'off'")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            logger.debug("the probe failed", extra={"error": f"{type(error).__name__}: {error}"})
            return Answer.ERROR
        if is_primary:
            return Answer.PRIMARY
        self.reconnect()
        return Answer.READ_ONLY

    def reconnect(self) -> None:
        """Ask the next question on a new connection, which may lead to another server."""
        if self._session is not None:
            self._session.terminate()

    async def close(self) -> None:
        """End a question that runs, and close the connection."""
        if self._asking is not None:
            await end_tasks([self._asking])
        self.reconnect()
