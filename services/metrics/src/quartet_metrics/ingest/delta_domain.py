"""The rules of deltas: amounts of intervals become totals that only grow, each amount once; no I/O."""

import math
from bisect import insort
from typing import Final, NamedTuple

from msgspec import Struct, field

from quartet_metrics.ingest.point_domain import Component, Point, Reason, RefusedError

REMEMBERED: Final = 16
"""Times of points by which a repeated one is known."""
MAX_COMPONENTS: Final = 500
"""Series of one metric with its labels; with more, those that its last point does not have are forgotten."""
HOUR: Final = 3_600_000
SECOND: Final = 1000


class DeltaTotals(Struct):
    """What is known of all series of a delta.

    recent: the times of its last points, ascending, in nanoseconds. written: the time of its last samples, in
    milliseconds; 0 before the first. totals: the sums since the first point.
    """

    recent: list[int] = field(default_factory=list)
    written: int = 0
    totals: list[tuple[Component, float]] = field(default_factory=list)


class TotalSample(NamedTuple):
    """The total of a series at a time in milliseconds."""

    component: Component
    time: int
    value: float


def add(known: DeltaTotals, point: Point) -> list[TotalSample]:
    """Add a point to its totals; returns the samples to write. A repeated point adds nothing, but its samples are
    returned again. A new series begins with a 0, so that its first amount is an increase.

    Raises RefusedError for a point that is older than all remembered ones: it may be a repeated one.
    """
    now, totals, begun = point.time // 1_000_000, dict(known.totals), []
    if point.time not in known.recent:
        if len(known.recent) >= REMEMBERED and point.time < known.recent[0]:
            detail = f"{REMEMBERED} later deltas of {point.name} have been added. Send the points of a series in order."
            raise RefusedError(Reason.OUT_OF_ORDER, detail)
        if len(totals | point.components) > MAX_COMPONENTS:
            totals = {component: value for component, value in totals.items() if component in point.components}
        first = known.written or _beginning(point, now)
        begun = [TotalSample(component, first, 0.0) for component in point.components if component not in totals]
        for component, amount in point.components.items():
            totals[component] = totals.get(component, 0.0) + amount
        if not all(map(math.isfinite, totals.values())):
            raise RefusedError(Reason.BAD_POINT, f"the sum of the deltas of {point.name} is too large for a number.")
        insort(known.recent, point.time)
        del known.recent[:-REMEMBERED]
        known.written = max(now, known.written + 1)
        known.totals = list(totals.items())
    return begun + [TotalSample(component, known.written, value) for component, value in totals.items()]


def _beginning(point: Point, now: int) -> int:
    """When the first amount began to count, before `now`."""
    start = (point.start or 0) // 1_000_000
    return start if now - HOUR <= start < now else now - SECOND
