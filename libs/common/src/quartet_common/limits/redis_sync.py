"""Sums: adds up through Redis what the processes have counted, in the background, and without Redis not at all."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from quartet_common.core.offload import slices
from quartet_common.limits.windows import Report, Windows

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

INTERVAL = 0.1
"""Seconds between two sums."""
PAUSE = 1.0
"""Seconds for which a Redis that did not answer is left alone."""
BATCH = 250
"""Keys of one call: Redis serves nobody else while it runs, some 200 us."""
STEP = 1.0
"""Seconds by which the clock may be set without the windows beginning anew."""
PRECISION = 0.05

ADD = """
local sums = {}
for i = 1, #KEYS, 2 do
  local j = (i - 1) / 2 * 3
  local late, ttl = tonumber(ARGV[j + 2]), ARGV[j + 3]
  sums[i] = redis.call('INCRBY', KEYS[i], ARGV[j + 1])
  redis.call('EXPIRE', KEYS[i], ttl)
  if late > 0 then
    sums[i + 1] = redis.call('INCRBY', KEYS[i + 1], late)
    redis.call('EXPIRE', KEYS[i + 1], ttl)
  else
    sums[i + 1] = tonumber(redis.call('GET', KEYS[i + 1]) or '0')
  end
end
local now = redis.call('TIME')
return {now[1], now[2], sums}
"""
"""Adds to the running window and the one before it of each key, and gives both, and the time. ARGV: three each."""


class SharedClock:
    """Seconds since the epoch as Redis has them, so that all processes have the same windows. It never stands on the
    wall clock of this machine, which may be set at any time.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def now(self) -> float:
        """The time."""
        return self._monotonic() + self._offset

    def correct(self, told: float) -> float:
        """Take over the time that was `told` just now; gives by how much it differs, where that is much."""
        difference = told - self.now()
        if abs(difference) <= PRECISION:
            return 0.0
        self._offset += difference
        return difference


class Sums:
    """Tells Redis what `tables` (windows by the beginning of their keys) have counted, and them what others have."""

    def __init__(self, redis: "Callable[[], Redis]", clock: SharedClock, tables: Mapping[str, Windows]) -> None:
        self._redis = redis
        self._clock = clock
        self._tables = tables
        self._script: Any = None
        self._away_until = 0.0
        self._is_away = False
        self._failed = metrics.get_meter("quartet_common.limits").create_counter(
            "quartet.limits.unshared", description="sums that could not be made: each process limits by itself"
        )
        self._failed.add(0)  # exported from the start

    async def add_up(self) -> None:
        """Add up what has changed by now. What cannot be told is not told later: the others only let more through.

        What is counted while Redis is asked waits for the next time: a busy process would else ask without a pause.
        """
        if time.monotonic() < self._away_until:
            return
        for prefix, windows in self._tables.items():
            for some in slices(range(windows.untold), BATCH):
                reports = windows.reports(len(some))
                if reports and not await self._tell(prefix, windows, reports):
                    return

    async def _tell(self, prefix: str, windows: Windows, reports: list[Report]) -> bool:
        keys, told = [], []
        for one in reports:
            name = f"{prefix}/{windows.limit.seconds}/{_name(one.key)}"
            keys += [f"{name}/{one.window}", f"{name}/{one.window - 1}"]
            told += [one.fresh, one.late, 2 * windows.limit.seconds + 1]
        answer = await self._ask(keys, told)
        if answer is None:
            return False
        seconds, microseconds, sums = answer
        for index, one in enumerate(reports):
            windows.learn(one, sums[2 * index], sums[2 * index + 1])
        if abs(self._clock.correct(int(seconds) + int(microseconds) / 1e6)) > STEP:
            for table in self._tables.values():
                table.forget()
        return True

    async def _ask(self, keys: list[str], told: list[int]) -> Any:
        from redis.exceptions import RedisError

        try:
            if self._script is None:
                self._script = self._redis().register_script(ADD)
            answer = await self._script(keys=keys, args=told)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed.add(1)
            self._away_until = time.monotonic() + PAUSE
            if not self._is_away:
                logger.warning("limits are not shared: Redis is unavailable", extra={"error": repr(error)[:300]})
            self._is_away = True
            return None
        if self._is_away:
            logger.info("limits are shared again")
        self._is_away = False
        return answer


def _name(key: object) -> str:
    return "\0".join(map(str, key)) if isinstance(key, tuple) else str(key)  # which no part of it has in it
