"""Windows: counts per key in a sliding window, in bounded memory; a decision needs no I/O.

The count of a key is that of the current window, and the share of the previous window that the last `seconds` still
overlap. `redis_sync` adds the counts of other processes.
"""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import islice

from quartet_common.config.rate_limit import Limit

REFUSED = -1
CAPACITY = 10_000
"""Keys that are remembered at least; up to twice as many. About 400 bytes each."""
CLOCK_PRECISION = 0.05
"""Seconds that the clock may differ from that of Redis."""


class SharedClock:
    """Seconds since the epoch by the clock of Redis, so that all processes have the same windows. It runs on the
    monotonic clock of this machine, since the wall clock may be set at any time.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def now(self) -> float:
        """The time."""
        return self._monotonic() + self._offset

    def correct(self, now: float) -> float:
        """Set the clock to `now`; returns the correction, 0.0 if it is within CLOCK_PRECISION."""
        difference = now - self.now()
        if abs(difference) <= CLOCK_PRECISION:
            return 0.0
        self._offset += difference
        return difference


class Count:
    """The use of one key. `own` and `others` are of the current window, `before` is the total of the previous one.

    `sent` is the part of `own` that the other processes know; `late` is the part of the previous window that they do
    not know.
    """

    __slots__ = ("before", "late", "others", "own", "sent", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.own = self.sent = self.others = self.before = self.late = 0

    def advance(self, window: int) -> None:
        """Begin a later window."""
        follows = window == self.window + 1
        self.before = self.own + self.others if follows else 0
        self.late = self.own - self.sent if follows else 0
        self.own = self.sent = self.others = 0
        self.window = window


@dataclass(frozen=True, slots=True)
class Report:
    """The counts of one key to send: `fresh` of the current window, `late` of the previous one."""

    key: Hashable
    count: Count
    window: int
    fresh: int
    late: int


class Windows:
    """The counts of one limit by key. The least recently used keys are dropped first."""

    def __init__(self, limit: Limit, now: Callable[[], float], capacity: int = CAPACITY) -> None:
        self.limit = limit
        self._quota, self._seconds = limit.quota, limit.seconds
        self._now = now
        self._capacity = capacity
        # an LRU of two generations: a look-up costs one dictionary and no list
        self._young: dict[Hashable, Count] = {}
        self._old: dict[Hashable, Count] = {}
        self._changed: dict[Hashable, Count] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: Hashable, cost: int = 1) -> int:
        """Use `cost` of the quota of `key` and return the remaining quota; REFUSED, without using any, if it is too
        little.
        """
        position = self._now() / self._seconds
        window = int(position)
        count = self._young.get(key) or self._find(key, window)
        if window > count.window:
            count.advance(window)
        used = count.own + count.others + cost
        if count.before:
            used += int(count.before * (1 - (position - window)))
        if used > self._quota:
            return REFUSED
        count.own += cost
        self._changed[key] = count
        return self._quota - used

    def add(self, key: Hashable, cost: int = 1) -> None:
        """Count `cost` even if the quota is used up."""
        window = int(self._now() / self._seconds)
        count = self._young.get(key) or self._find(key, window)
        if window > count.window:
            count.advance(window)
        count.own += cost
        self._changed[key] = count

    def is_spent(self, key: Hashable) -> bool:
        """Whether `key` has no quota left; uses none."""
        count = self._young.get(key) or self._old.get(key)
        return count is not None and self._missing(count, 1) > 0

    def wait(self, key: Hashable, cost: int = 1) -> int:
        """Whole seconds, at least 1, until `key` has `cost` left if it is not used meanwhile."""
        count = self._young.get(key) or self._old.get(key)
        return 1 if count is None else max(1, math.ceil(self._missing(count, cost)))

    def until_next(self) -> int:
        """Whole seconds, at least 1, until the current window ends."""
        return self._seconds - int(self._now() % self._seconds)

    @property
    def unsent(self) -> int:
        """Keys that have changed since their last report."""
        return len(self._changed)

    def reports(self, most: int) -> list[Report]:
        """The unsent counts of up to `most` keys, which count as sent from now on."""
        window = int(self._now() / self._seconds)
        found = []
        for key, count in list(islice(self._changed.items(), most)):
            del self._changed[key]
            if window > count.window:
                count.advance(window)
            fresh, late = count.own - count.sent, count.late
            count.sent, count.late = count.own, 0
            if fresh or late:
                found.append(Report(key, count, window, fresh, late))
        return found

    def set_totals(self, report: Report, total: int, before: int) -> None:
        """Set the totals of all processes, in the window of `report` and in the previous one."""
        count = report.count
        if count.window == report.window:
            count.others = max(0, total - count.sent)
            count.before = max(before, count.before)
        elif count.window == report.window + 1:  # it ended during the synchronisation
            count.before = max(count.before, total + count.late)

    def forget(self) -> None:
        """Reset all windows: the clock was set."""
        for counts in (self._young, self._old, self._changed):
            counts.clear()

    def _find(self, key: Hashable, window: int) -> Count:
        count = self._old.pop(key, None) or Count(window)
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
            while len(self._changed) > self._capacity:  # reports are not fetched: Redis is unavailable
                del self._changed[next(iter(self._changed))]
        self._young[key] = count
        return count

    def _missing(self, count: Count, cost: int) -> float:
        """Seconds until `cost` is left; 0 or less if it is."""
        now = self._now()
        window = math.floor(now / self._seconds)
        current, before = count.own + count.others, count.before
        if window > count.window:
            current, before = 0, current if window == count.window + 1 else 0
        allowed = self._quota - cost
        start = max(window, count.window) * self._seconds
        if current <= allowed:  # the previous window's part must shrink to the allowed use
            return start + (self._seconds * (1 - (allowed - current) / before) if before else 0) - now
        # else that of this window, within the next one
        return start + self._seconds * (2 - max(allowed, 0) / current) - now
