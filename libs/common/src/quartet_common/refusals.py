"""Refusals: turns 401, 403 and 429 answers into events, those that could be any number as bounded summaries."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg
from quart import current_app, request

from quartet_common.auth.guard import principal, source_address
from quartet_common.auth.opaque import hide
from quartet_common.auth.principal import Principal
from quartet_common.database import Database
from quartet_common.errors import ServiceError
from quartet_common.ids import SYSTEM_TENANT, Clock, new_id
from quartet_common.messaging import outbox
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.outbox import Caller, DomainEvent
from quartet_common.schedule import Schedule, run_schedule

logger = logging.getLogger(__name__)

MAX_KEYS = 50
"""Different sources that one summary window tells apart; the rest are counted together, by status."""
MAX_PATH = 256
ANONYMOUS = "anonymous"
OTHERS = "(others)"
UNKNOWN = "unknown"


EXTENSION = "quartet_refusals"
"""The name under which an app has its log."""


async def record_partial_refusal(scope: str) -> None:
    """Record that the running request was denied what of it needs `scope`; the rest of it goes on."""
    log: RefusalLog = current_app.extensions[EXTENSION]
    await log.forbidden(principal(), source_address(), request.method, request.path, scope)


class Source(NamedTuple):
    """What is counted together: the same answer, for the same reason, to the same one at the same address."""

    status: int
    tenant: str
    actor: str
    address: str
    reason: str

    def as_one_of_many(self) -> "Source":
        """What it is counted as when there are too many."""
        return Source(self.status, SYSTEM_TENANT, ANONYMOUS, OTHERS, OTHERS)


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

    A 403 has a verified caller and becomes an event of its own. Anybody could cause any number of 401 and 429: they are
    counted per caller, source address and reason and written once per window, at most MAX_KEYS + 2 events.
    """

    def __init__(self, service: str, database: Callable[[], Database], clock: Clock, window: float) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self._window = window
        self._tallies: dict[Source, Tally] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write summaries, one each window."""
        turn = Schedule("refusals", self._window, self.flush)
        self._task = asyncio.get_running_loop().create_task(run_schedule(turn))

    async def stop(self) -> None:
        """Write what is counted and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        if self._tallies:
            logger.error("refused requests could not be recorded", extra={"tallies": len(self._tallies)})

    async def forbidden(self, who: Principal, address: str | None, method: str, path: str, scope: str) -> None:
        """Record that `who` lacked `scope`. When PostgreSQL is away only the log line remains."""
        data = {
            "status": 403,
            "reason": "insufficient_scope",
            "scope": scope,
            "method": method,
            "path": hide(path)[:MAX_PATH],
        }
        event = DomainEvent(f"{self._service}.request.refused.v1", f"requests/{new_id()}", 1, data, DENIED)
        await self._write(Caller(who.tenant, who.actor, address), [event])

    def unauthenticated(self, address: str | None, reason: str, method: str, path: str) -> None:
        """Count a request that had no valid token."""
        self._count(Source(401, SYSTEM_TENANT, ANONYMOUS, address or UNKNOWN, reason), method, path)

    def limited(self, who: Principal | None, address: str | None, limit: str, method: str, path: str) -> None:
        """Count a request that was one too many; `who` is the caller if it is known."""
        tenant, actor = (SYSTEM_TENANT, ANONYMOUS) if who is None else (who.tenant, who.actor)
        self._count(Source(429, tenant, actor, address or UNKNOWN, limit), method, path)

    def _count(self, source: Source, method: str, path: str) -> None:
        now = self._clock()
        if source not in self._tallies and len(self._tallies) >= MAX_KEYS:
            source = source.as_one_of_many()
        tally = self._tallies.setdefault(source, Tally(0, now, now, method, hide(path)[:MAX_PATH]))
        tally.count += 1
        tally.last = now

    async def flush(self) -> None:
        """Write the summaries of the window that ends now; the next one tells what cannot be written."""
        tallies, self._tallies = self._tallies, {}
        try:
            while tallies:
                source, tally = next(iter(tallies.items()))
                caller = Caller(source.tenant, source.actor, source.address)
                if not await self._write(caller, [self._summary(source, tally)]):
                    break
                del tallies[source]
        finally:
            for source, tally in tallies.items():
                self._put_back(source, tally)

    def _summary(self, source: Source, tally: Tally) -> DomainEvent:
        is_limited = source.status == 429
        data = {
            "status": source.status,
            "limit" if is_limited else "reason": source.reason,
            "count": tally.count,
            "first": tally.first.isoformat(),
            "last": tally.last.isoformat(),
            "method": tally.method,
            "path": tally.path,
        }
        kind = f"{self._service}.request.{'limited' if is_limited else 'refused'}.v1"
        return DomainEvent(kind, f"requests/{new_id()}", 1, data, DENIED)

    def _put_back(self, source: Source, tally: Tally) -> None:
        if source not in self._tallies and len(self._tallies) >= MAX_KEYS:
            source = source.as_one_of_many()
        meanwhile = self._tallies.get(source)
        if meanwhile is not None:
            tally.count += meanwhile.count
            tally.first, tally.last = min(tally.first, meanwhile.first), max(tally.last, meanwhile.last)
        self._tallies[source] = tally

    async def _write(self, caller: Caller, events: list[DomainEvent]) -> bool:
        """Whether `events` need not be written again: they are in the outbox, or nothing could store what is in them.

        A request that is refused stays so, whatever becomes of them.
        """
        try:
            async with self._database().transaction() as connection:
                await outbox.add(connection, caller, events, now=self._clock(), service=self._service)
        except (ServiceError, asyncpg.PostgresError) as error:
            told = [event.data for event in events]
            logger.error("a refused request could not be recorded", extra={"events": told, "error": repr(error)[:300]})
            return isinstance(error, asyncpg.DataError)
        return True
