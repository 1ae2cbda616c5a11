"""Failed logins: told as bounded summaries, so that a flood of them is not a flood of events."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.database import Database
from quartet_common.errors import ServiceError
from quartet_common.ids import SYSTEM_TENANT, Clock
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import Caller, DomainEvent
from quartet_common.schedule import Schedule, run_schedule
from quartet_users import events

logger = logging.getLogger(__name__)

MAX_KEYS = 50
"""Different failures of one tenant that a window tells apart; the rest are counted together."""
MAX_NAME = 128
ANONYMOUS = "anonymous"
OTHERS = "(others)"


@dataclass(frozen=True)
class Failure:
    """A login that failed: in whose directory, as what, from where, why. `tenant` is None for one that is not there."""

    tenant: str | None
    user_name: str
    user_id: UUID | None
    address: str | None
    reason: str


@dataclass
class Tally:
    """Failures of one kind within a window."""

    count: int
    first: datetime
    last: datetime


class FailedLogins:
    """Counts failed logins by tenant, name, address and reason, and writes each kind once per window (seconds)."""

    def __init__(self, service: str, database: Callable[[], Database], clock: Clock, window: float) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        self._window = window
        self._tallies: dict[Failure, Tally] = {}
        self._kinds: Counter[str | None] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write summaries, one each window."""
        turn = Schedule("failed-logins", self._window, self.flush)
        self._task = asyncio.get_running_loop().create_task(run_schedule(turn))

    async def stop(self) -> None:
        """Write what is counted and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        if self._tallies:
            logger.error("failed logins could not be recorded", extra={"kinds": len(self._tallies)})

    def add(self, failure: Failure) -> None:
        """Count a failed login."""
        now = self._clock()
        name = failure.user_name.replace("\0", "\ufffd")[:MAX_NAME]
        self._count(Failure(failure.tenant, name, failure.user_id, failure.address, failure.reason), Tally(1, now, now))

    async def flush(self) -> None:
        """Write the summaries of the window that ends now; the next one tells what cannot be written."""
        tallies, self._tallies, self._kinds = self._tallies, {}, Counter()
        try:
            for failure in list(tallies):
                if not await self._write(failure, tallies[failure]):
                    break
                del tallies[failure]
        finally:
            for failure, tally in tallies.items():
                self._count(failure, tally)

    def _count(self, failure: Failure, tally: Tally) -> None:
        if failure not in self._tallies and self._kinds[failure.tenant] >= MAX_KEYS:
            failure = Failure(failure.tenant, OTHERS, None, None, OTHERS)
        known = self._tallies.get(failure)
        if known is None:
            self._tallies[failure] = tally
            self._kinds[failure.tenant] += 1
            return
        known.count += tally.count
        known.first, known.last = min(known.first, tally.first), max(known.last, tally.last)

    async def _write(self, failure: Failure, tally: Tally) -> bool:
        """Whether it need not be written again: it is in the outbox, or nothing could store what is in it."""
        caller = Caller(failure.tenant or SYSTEM_TENANT, ANONYMOUS, failure.address)
        event = _event(failure, tally)
        try:
            async with self._database().transaction() as connection:
                await outbox.add(connection, caller, [event], now=self._clock(), service=self._service)
        except (ServiceError, asyncpg.PostgresError) as error:
            logger.error(
                "a failed login could not be recorded", extra={"event": event.data, "error": repr(error)[:300]}
            )
            return isinstance(error, asyncpg.DataError)
        return True


def _event(failure: Failure, tally: Tally) -> DomainEvent:
    return events.login_failed(
        {
            "userName": failure.user_name,
            "userId": None if failure.user_id is None else str(failure.user_id),
            "reason": failure.reason,
            "count": tally.count,
            "first": tally.first.isoformat(),
            "last": tally.last.isoformat(),
        }
    )
