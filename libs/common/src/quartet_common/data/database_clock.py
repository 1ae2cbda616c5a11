"""Clocks: the time as PostgreSQL has it, so that processes on different machines agree about what came first."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from quartet_common.core.clock import Clock, utc_now
from quartet_common.data.database import Database

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two questions: in between a machine's oscillator goes wrong by less than a millisecond."""
WORTH_TELLING = timedelta(seconds=1)
"""How far the machine's clock may be from PostgreSQL's before it is logged."""
ASK = "SELECT clock_timestamp()"


class DatabaseClock:
    """The time of the service's PostgreSQL as far as it is known; before the first answer, the machine's.

    It goes on by itself between answers, and does not follow the machine's clock, which may be set at any time.
    """

    def __init__(self, machine: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._machine = machine
        self._monotonic = monotonic
        self._begun = machine() - timedelta(seconds=monotonic())
        self._is_told = False

    def __call__(self) -> datetime:
        """The time, in UTC."""
        return self._begun + timedelta(seconds=self._monotonic())

    async def ask(self, database: Database) -> None:
        """Take over the time of `database`. Raises UnavailableError."""
        async with database.connection() as connection:
            asked = self._monotonic()
            told: datetime = await connection.fetchval(ASK)
        self.correct(told, self._monotonic() - asked)

    def correct(self, told: datetime, took: float) -> None:
        """Take over the time that was `told` in an answer that took so many seconds, so far as it is sure.

        Now it is `told` at least and `took` later at most: what is between is left as it is, so that an answer that was
        read late changes nothing.
        """
        now = self()
        earliest, latest = told, told + timedelta(seconds=took)
        self._begun += max(earliest - now, timedelta()) + min(latest - now, timedelta())
        is_far = abs(self._machine() - self()) > WORTH_TELLING
        if is_far and not self._is_told:
            difference = (self._machine() - self()).total_seconds()
            logger.warning(
                "the clock of this machine differs from the clock of PostgreSQL", extra={"seconds": difference}
            )
        self._is_told = is_far
