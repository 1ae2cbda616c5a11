"""Refusals: turns 401 and 403 answers into events, those without a known caller as bounded summaries."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from quart import current_app, request

from quartet_common.auth.guard import principal, source_address
from quartet_common.auth.principal import Principal
from quartet_common.database import Database
from quartet_common.errors import UnavailableError
from quartet_common.ids import SYSTEM_TENANT, Clock, new_id
from quartet_common.messaging import outbox
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.outbox import Caller, DomainEvent

logger = logging.getLogger(__name__)

MAX_KEYS = 50
"""Different (address, reason) pairs that one summary window tells apart; the rest are counted together."""
MAX_PATH = 256
ANONYMOUS = "anonymous"
OTHERS = "(others)"


EXTENSION = "quartet_refusals"
"""The name under which an app has its log."""


async def record_partial_refusal(scope: str) -> None:
    """Record that the running request was denied what of it needs `scope`; the rest of it goes on."""
    log: RefusalLog = current_app.extensions[EXTENSION]
    await log.forbidden(principal(), source_address(), request.method, request.path, scope)


@dataclass
class Tally:
    """Refusals of one kind within a window."""

    count: int
    first: datetime
    last: datetime
    method: str
    path: str


class RefusalLog:
    """Records refused requests in the service's outbox.

    A 403 has a verified caller and becomes an event of its own. A 401 has none, so anybody could cause any number:
    they are counted per source address and reason and written once per window, at most MAX_KEYS + 1 events.
    """

    def __init__(self, service: str, database: Callable[[], Database], clock: Clock, window: float) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self._window = window
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write summaries, one each window."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write what is counted and end."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.flush()

    async def forbidden(self, who: Principal, address: str | None, method: str, path: str, scope: str) -> None:
        """Record that `who` lacked `scope`. When PostgreSQL is away only the log line remains."""
        data = {
            "status": 403,
            "reason": "insufficient_scope",
            "scope": scope,
            "method": method,
            "path": path[:MAX_PATH],
        }
        event = DomainEvent(f"{self._service}.request.refused.v1", f"requests/{new_id()}", 1, data, DENIED)
        await self._write(Caller(who.tenant, who.actor, address), [event])

    def unauthenticated(self, address: str | None, reason: str, method: str, path: str) -> None:
        """Count a request that had no valid token."""
        now = self._clock()
        key = (address or "unknown", reason)
        if key not in self._tallies and len(self._tallies) >= MAX_KEYS:
            key = (OTHERS, OTHERS)
        tally = self._tallies.setdefault(key, Tally(0, now, now, method, path[:MAX_PATH]))
        tally.count += 1
        tally.last = now

    async def flush(self) -> None:
        """Write the summaries of the window that ends now."""
        tallies, self._tallies = self._tallies, {}
        for (address, reason), tally in tallies.items():
            data = {
                "status": 401,
                "reason": reason,
                "count": tally.count,
                "first": tally.first.isoformat(),
                "last": tally.last.isoformat(),
                "method": tally.method,
                "path": tally.path,
            }
            event = DomainEvent(f"{self._service}.request.refused.v1", f"requests/{new_id()}", 1, data, DENIED)
            await self._write(Caller(SYSTEM_TENANT, ANONYMOUS, address), [event])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._window)
            await self.flush()

    async def _write(self, caller: Caller, events: list[DomainEvent]) -> None:
        try:
            async with self._database().transaction() as connection:
                await outbox.add(connection, caller, events, now=self._clock(), service=self._service)
        except UnavailableError:
            logger.error("a refused request could not be recorded", extra={"events": [event.data for event in events]})
