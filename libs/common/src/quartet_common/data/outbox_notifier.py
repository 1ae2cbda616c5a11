"""The outbox notifier: wakes the relay after a commit with outbox rows."""

import asyncio
import logging

import asyncpg

from quartet_common.data.connections import Pool
from quartet_common.data.database_errors import UNAVAILABLE

logger = logging.getLogger(__name__)

OUTBOX_CHANNEL = "quartet_outbox"
GATHERING = 0.002
"""Seconds within which commits share one NOTIFY, which costs the writer, PostgreSQL and the relay a round trip each."""

TIMEOUT = 1.0
"""Timeout of a NOTIFY in seconds; the relay polls as often."""


class OutboxNotifier:
    """Wakes the relay after a commit with outbox rows.

    The NOTIFY is sent outside the writing transaction: inside, PostgreSQL would serialise all commits of the database
    on one lock while each is flushed. Many commits share one NOTIFY; a lost one costs a poll interval.
    """

    def __init__(self, pool: Pool, channel: str) -> None:
        self._pool = pool
        self._channel = channel
        self._pending = False
        self._task: asyncio.Task[None] | None = None

    def notify(self) -> None:
        """Send a NOTIFY soon; returns at once."""
        self._pending = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._pending:
            await asyncio.sleep(GATHERING)
            self._pending = False
            try:
                await self._pool.execute("SELECT pg_notify($1, '')", self._channel, timeout=TIMEOUT)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                logger.debug("the relay was not woken and will poll", extra={"error": str(error)})

    async def close(self) -> None:
        """Wait for a running NOTIFY."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=1)


def outbox_channel(service: str) -> str:
    """The NOTIFY channel of `service`'s relay."""
    return f"{OUTBOX_CHANNEL}_{service}"
