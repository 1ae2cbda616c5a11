"""Counts how often caches have what is asked for, and exports it as a metric."""

from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation


@dataclass
class CacheCounts:
    """The look-ups of the cache `name` in this process. They are plain numbers: counting costs nothing."""

    name: str
    hits: int = 0
    misses: int = 0

    def count(self, *, is_hit: bool) -> None:
        """Count a look-up."""
        if is_hit:
            self.hits += 1
        else:
            self.misses += 1


def observe_caches(caches: Sequence[CacheCounts]) -> None:
    """Export the look-ups of `caches`, also of those added later; called once per process."""

    def observe(_: CallbackOptions) -> list[Observation]:
        return [
            Observation(number, {"cache": one.name, "result": result})
            for one in caches
            for result, number in (("hit", one.hits), ("miss", one.misses))
        ]

    metrics.get_meter("quartet_common.caches").create_observable_counter(
        "quartet.cache.requests", [observe], description="look-ups in a cache by result"
    )
