"""Windows: counts per key in a sliding window, in bounded memory; each decision is made here and costs no I/O.

The count of a key is what came in the running window, and of the window before it the share that the last `seconds`
still overlap. What other processes count is added by `sums`.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import islice

from quartet_common.config.rate_limit import Limit

REFUSED = -1
CAPACITY = 10_000
"""Keys that are surely remembered; up to twice as many are. About 400 bytes each."""


class Count:
    """What one key has used. `own` and `others` are of the running window, `before` is everybody's of the one before.

    `sent` of `own` are told to the others already; `late` were not when their window ended.
    """

    __slots__ = ("before", "late", "others", "own", "sent", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.own = self.sent = self.others = self.before = self.late = 0

    def turn(self, window: int) -> None:
        """Begin a later window."""
        follows = window == self.window + 1
        self.before = self.own + self.others if follows else 0
        self.late = self.own - self.sent if follows else 0
        self.own = self.sent = self.others = 0
        self.window = window


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be told of one key: `fresh` of the running window, `late` of the one before it."""

    key: Hashable
    count: Count
    window: int
    fresh: int
    late: int


class Windows:
    """The counts of one limit, by key. Those that were used longest ago are forgotten first."""

    def __init__(self, limit: Limit, now: Callable[[], float], capacity: int = CAPACITY) -> None:
        self.limit = limit
        self._quota, self._seconds = limit.quota, limit.seconds
        self._now = now
        self._capacity = capacity
        # two generations are an LRU that costs a look-up one dictionary and no list
        self._young: dict[Hashable, Count] = {}
        self._old: dict[Hashable, Count] = {}
        self._changed: dict[Hashable, Count] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: Hashable, cost: int = 1) -> int:
        """Use `cost` of what `key` has left, and give what is left then; REFUSED, and nothing used, if it is less."""
        turn = self._now() / self._seconds
        window = int(turn)
        count = self._young.get(key) or self._find(key, window)
        if window > count.window:
            count.turn(window)
        used = count.own + count.others + cost
        if count.before:
            used += int(count.before * (1 - (turn - window)))
        if used > self._quota:
            return REFUSED
        count.own += cost
        self._changed[key] = count
        return self._quota - used

    def add(self, key: Hashable, cost: int = 1) -> None:
        """Count `cost` whether or not `key` has as much left."""
        window = int(self._now() / self._seconds)
        count = self._young.get(key) or self._find(key, window)
        if window > count.window:
            count.turn(window)
        count.own += cost
        self._changed[key] = count

    def is_spent(self, key: Hashable) -> bool:
        """Whether `key` has nothing left; nothing is used by asking."""
        count = self._young.get(key) or self._old.get(key)
        return count is not None and self._missing(count, 1) > 0

    def wait(self, key: Hashable, cost: int = 1) -> int:
        """Whole seconds, at least 1, after which `key` has `cost` left if nobody uses any meanwhile."""
        count = self._young.get(key) or self._old.get(key)
        return 1 if count is None else max(1, math.ceil(self._missing(count, cost)))

    def until_next(self) -> int:
        """Whole seconds until the running window ends, at least 1."""
        return self._seconds - int(self._now() % self._seconds)

    @property
    def unsent(self) -> int:
        """How many keys have changed since they were reported."""
        return len(self._changed)

    def reports(self, most: int) -> list[Report]:
        """What up to `most` keys have used and nobody was told; it counts as told from now on."""
        window = int(self._now() / self._seconds)
        found = []
        for key, count in list(islice(self._changed.items(), most)):
            del self._changed[key]
            if window > count.window:
                count.turn(window)
            fresh, late = count.own - count.sent, count.late
            count.sent, count.late = count.own, 0
            if fresh or late:
                found.append(Report(key, count, window, fresh, late))
        return found

    def learn(self, report: Report, total: int, before: int) -> None:
        """What everybody has used by now, in the window of `report` and in the one before it."""
        count = report.count
        if count.window == report.window:
            count.others = max(0, total - count.sent)
            count.before = max(before, count.before)
        elif count.window == report.window + 1:  # it ended while we asked
            count.before = max(count.before, total + count.late)

    def forget(self) -> None:
        """Begin anew: the clock was set, and no window is what it was."""
        for counts in (self._young, self._old, self._changed):
            counts.clear()

    def _find(self, key: Hashable, window: int) -> Count:
        count = self._old.pop(key, None) or Count(window)
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
            while len(self._changed) > self._capacity:  # nobody takes the reports: Redis is away
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
        if current <= allowed:  # what is left of the window before must have shrunk to what there is allowed for
            return start + (self._seconds * (1 - (allowed - current) / before) if before else 0) - now
        # else the same of this one, within the next
        return start + self._seconds * (2 - max(allowed, 0) / current) - now
