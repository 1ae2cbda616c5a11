"""Active series: how many different series a tenant may have in an hour, in all processes together, through Redis."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from quartet_common.core.offload import slices
from quartet_common.data.cache import ignore_cache_failure

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

HOUR = 3600
BATCH = 1000
"""Series of one call, which blocks Redis for some 500 us."""
REMEMBERED = 200_000
"""Series that a process remembers, of all tenants; about 100 bytes each."""
ADMIT = """
local beyond = {}
local size = redis.call('SCARD', KEYS[1])
for i = 3, #ARGV do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 0 then
    if size < tonumber(ARGV[1]) then
      redis.call('SADD', KEYS[1], ARGV[i])
      size = size + 1
    else
      beyond[#beyond + 1] = i - 2
    end
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return beyond
"""
"""Adds series to the set of a tenant and an hour until it has the limit; returns the numbers of those beyond it.
ARGV: the limit, the lifetime of the set in seconds, the series.
"""


class ActiveSeries:
    """The series of each tenant in this hour, at most `limit`. A process asks Redis only for those it does not
    remember; without Redis it limits alone.
    """

    def __init__(self, redis: "Callable[[], Redis]", limit: int) -> None:
        self.limit = limit
        self._redis = redis
        self._script: Any = None
        self._hour = 0
        self._known: OrderedDict[str, set[bytes]] = OrderedDict()

    async def beyond_limit(self, tenant: str, series: Iterable[bytes], now: float) -> set[bytes]:
        """Which of `series` the tenant may not have in the hour of `now`, in seconds; the others are active now."""
        hour = int(now // HOUR)
        if hour != self._hour:
            self._hour = hour
            self._known.clear()
        known = self._known.setdefault(tenant, set())
        self._known.move_to_end(tenant)
        beyond: set[bytes] = set()
        for some in slices([one for one in dict.fromkeys(series) if one not in known], BATCH):
            refused = await self._ask(tenant, hour, some, known)
            beyond |= refused
            known.update(one for one in some if one not in refused)
        self._forget()
        return beyond

    async def _ask(self, tenant: str, hour: int, some: Any, known: set[bytes]) -> set[bytes]:
        if self._script is None:
            self._script = self._redis().register_script(ADMIT)
        arguments = [self.limit, 2 * HOUR, *some]
        key = f"metrics/active-series/{tenant}/{hour}"
        answer = await ignore_cache_failure(lambda: self._script(keys=[key], args=arguments))
        if answer is None:
            return set(some[max(0, self.limit - len(known)) :])
        return {some[number - 1] for number in answer}

    def _forget(self) -> None:
        """Forget the tenants that have sent nothing for the longest time."""
        while len(self._known) > 1 and sum(map(len, self._known.values())) > REMEMBERED:
            self._known.popitem(last=False)
