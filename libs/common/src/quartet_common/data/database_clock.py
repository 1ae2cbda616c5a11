"""Database clock: the time of PostgreSQL, so that processes on different machines agree on the order of events."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from quartet_common.core.clock import Clock, utc_now
from quartet_common.data.database import Database

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two queries: meanwhile the clock of a machine drifts by less than a millisecond."""
LOGGED_DIFFERENCE = timedelta(seconds=1)
"""A difference between the clocks of this machine and PostgreSQL above which it is logged."""
ASK = "SELECT clock_timestamp()"


class DatabaseClock:
    """The time of the service's PostgreSQL; before the first answer, that of this machine.

    Between answers it runs on the monotonic clock, since the wall clock of the machine may be set at any time.
    """

    def __init__(self, machine: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._machine = machine
        self._monotonic = monotonic
        self._begun = machine() - timedelta(seconds=monotonic())
        self._is_logged = False

    def __call__(self) -> datetime:
        """The time, in UTC."""
        return self._begun + timedelta(seconds=self._monotonic())

    async def ask(self, database: Database) -> None:
        """Set the clock to the time of `database`. Raises UnavailableError."""
        async with database.connection() as connection:
            started = self._monotonic()
            now: datetime = await connection.fetchval(ASK)
        self.correct(now, self._monotonic() - started)

    def correct(self, answer: datetime, took: float) -> None:
        """Set the clock by `answer`, PostgreSQL's time in a response that took `took` seconds.

        The time now is between `answer` and `took` seconds later. A clock within this range is not changed, so a
        response that was read late has no effect.
        """
        now = self()
        earliest, latest = answer, answer + timedelta(seconds=took)
        self._begun += max(earliest - now, timedelta()) + min(latest - now, timedelta())
        is_far = abs(self._machine() - self()) > LOGGED_DIFFERENCE
        if is_far and not self._is_logged:
            difference = (self._machine() - self()).total_seconds()
            logger.warning(
                "the clock of this machine differs from the clock of PostgreSQL", extra={"seconds": difference}
            )
        self._is_logged = is_far
