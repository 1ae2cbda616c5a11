"""Redis synchronisation: adds up the counts of all processes in the background; without Redis each one limits alone."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from quartet_common.core.offload import slices
from quartet_common.limits.windows import Report, SharedClock, Windows

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

INTERVAL = 0.1
"""Seconds between two synchronisations."""
PAUSE = 1.0
"""Seconds without a request to a Redis that did not answer."""
BATCH = 250
"""Keys of one call, which blocks Redis for some 200 us."""
STEP = 1.0
"""Seconds that the clock may be off; when it is off by more, all windows are reset."""

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
"""Adds to the current and the previous window of each key; returns both and the time. ARGV: three per key."""


class RedisSync:
    """Sends the counts of `tables` (windows by key prefix) to Redis, and adds those of other processes to them."""

    def __init__(self, redis: "Callable[[], Redis]", clock: SharedClock, tables: Mapping[str, Windows]) -> None:
        self._redis = redis
        self._clock = clock
        self._tables = tables
        self._script: Any = None
        self._away_until = 0.0
        self._is_away = False
        self._failed = metrics.get_meter("quartet_common.limits.sums").create_counter(
            "quartet.limits.unshared", description="failed synchronisations: each process limits alone"
        )
        self._failed.add(0)  # exported from the start

    async def run_once(self) -> None:
        """Send all changed counts. Counts that cannot be sent are dropped: other processes then allow more requests.

        Counts that arrive meanwhile wait for the next run, so that a busy process pauses between runs.
        """
        if time.monotonic() < self._away_until:
            return
        for prefix, windows in self._tables.items():
            for some in slices(range(windows.unsent), BATCH):
                reports = windows.reports(len(some))
                if reports and not await self._send(prefix, windows, reports):
                    return

    async def _send(self, prefix: str, windows: Windows, reports: list[Report]) -> bool:
        keys, arguments = [], []
        for one in reports:
            name = f"{prefix}/{windows.limit.seconds}/{_name(one.key)}"
            keys += [f"{name}/{one.window}", f"{name}/{one.window - 1}"]
            arguments += [one.fresh, one.late, 2 * windows.limit.seconds + 1]
        answer = await self._run_script(keys, arguments)
        if answer is None:
            return False
        seconds, microseconds, sums = answer
        for index, one in enumerate(reports):
            windows.set_totals(one, sums[2 * index], sums[2 * index + 1])
        if abs(self._clock.correct(int(seconds) + int(microseconds) / 1e6)) > STEP:
            for table in self._tables.values():
                table.forget()
        return True

    async def _run_script(self, keys: list[str], arguments: list[int]) -> Any:
        from redis.exceptions import RedisError

        try:
            if self._script is None:
                self._script = self._redis().register_script(ADD)
            answer = await self._script(keys=keys, args=arguments)
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
    return "\0".join(map(str, key)) if isinstance(key, tuple) else str(key)  # no part contains a NUL
