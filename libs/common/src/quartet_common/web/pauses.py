"""Pauses before 429 responses: a client that repeats refused requests without pause gets few responses a second."""

import asyncio
import time
from contextlib import suppress

from quartet_common.config.rate_limit import Limit
from quartet_common.core.fair_share import HOLDER
from quartet_common.limits.windows import REFUSED, Windows

AT_ONCE = Limit(20, 1)
"""429 responses without a pause, per second, of each tenant, or of each address without a token."""
PAUSE = 1.0
"""Seconds before each further one. No Retry-After is shorter."""
MOST = 500
"""Responses of a process that wait at the same time, each with its connection; further ones do not wait."""


class Pauses:
    """The pauses of one process; they end at once when `stopping` is set."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self.running = 0
        """Responses that wait now."""
        self._stopping = stopping
        self._at_once = Windows(AT_ONCE, time.monotonic)

    async def pause(self) -> None:
        """Wait before a 429 response of the running request, if its tenant or address has had AT_ONCE of them."""
        if self._at_once.take(HOLDER.get()) != REFUSED or self.running >= MOST:
            return
        self.running += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._stopping.wait()
        finally:
            self.running -= 1
