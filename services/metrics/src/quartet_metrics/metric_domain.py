"""The rules: which metrics there are, into which hour an event falls, and how counts become a series without gaps."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from quartet_common.messaging.envelope import DENIED, Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
"""The resolution of the counts: nothing finer can be asked for."""
MAX_POINTS = 10_000
"""Points of all series of one answer together."""
ALL = "all"
"""The key of the one series of an answer that is not split by a dimension."""
NO_DIMENSION = "none"


@dataclass(frozen=True)
class Metric:
    """Something that can be asked for: the events whose outcome is `outcome`, or all events."""

    name: str
    unit: str
    description: str
    dimensions: tuple[str, ...]
    outcome: str | None = None


@dataclass(frozen=True)
class Step:
    """The width of the buckets of an answer; `duration` is its ISO 8601 name."""

    name: str
    duration: str
    width: timedelta


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(
                "events", "events", "Events of the tenant, by the time at which they occurred.", ("type", "outcome")
            ),
            Metric(
                "refusals",
                "events",
                "Events about refused requests. Each 403 is one event; 401 responses, which have no tenant, "
                "are summarised in the tenant quartet.",
                ("type", "outcome"),
                DENIED,
            ),
        )
    }
)
STEPS: Mapping[str, Step] = MappingProxyType(
    {step.name: step for step in (Step("hour", "PT1H", HOUR), Step("day", "P1D", timedelta(days=1)))}
)


@dataclass(frozen=True)
class Query:
    """A question that was found to make sense: whole hours from `start` (inclusive) to `end` (exclusive), in UTC."""

    metric: Metric
    start: datetime
    end: datetime
    step: Step
    by: str

    @property
    def buckets(self) -> int:
        """How many buckets the range has; a first or last day that the range only touches counts as one."""
        width = self.step.width
        return (floor(self.end - HOUR, width) - floor(self.start, width)) // width + 1


class CountKey(NamedTuple):
    """What is counted apart. Sorted, keys are the order in which every worker locks rows."""

    tenant: str
    hour: datetime
    action: str
    outcome: str


class Cell(NamedTuple):
    """One number that is not 0: the events of `key` in the bucket that begins at `time`."""

    key: str
    time: datetime
    value: int


def tally(events: Iterable[Event]) -> list[tuple[CountKey, int]]:
    """How often each key occurs in `events`, sorted by key. The hour is that of the event's own time."""
    counts = Counter(CountKey(event.tenantid, floor(event.time, HOUR), event.action, event.outcome) for event in events)
    return sorted(counts.items())


def floor(time: datetime, width: timedelta) -> datetime:
    """The last boundary at or before `time`, in UTC; hours and days begin at multiples of `width` since the epoch."""
    return EPOCH + (time - EPOCH) // width * width


def ceiling(time: datetime, width: timedelta) -> datetime:
    """The first boundary at or after `time`, in UTC. Raises OverflowError beyond the year 9999."""
    return EPOCH - (EPOCH - time) // width * width


def dense(query: Query, cells: Sequence[Cell]) -> dict[str, list[tuple[datetime, int]]]:
    """The points of each series, sorted by key: every bucket of the range is there, with 0 where nothing happened."""
    width = query.step.width
    first = floor(query.start, width)
    times = [first + number * width for number in range(query.buckets)]
    values: dict[str, dict[datetime, int]] = {ALL: {}} if query.by == NO_DIMENSION else {}
    for cell in cells:
        values.setdefault(cell.key, {})[cell.time] = cell.value
    return {key: [(time, values[key].get(time, 0)) for time in times] for key in sorted(values)}
