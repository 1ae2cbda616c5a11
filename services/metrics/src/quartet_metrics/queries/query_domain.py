"""The rules for queries: buckets in a time zone, the stored steps that they need, series without gaps; no I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from types import MappingProxyType
from typing import NamedTuple

from quartet_common.core.errors import BadRequestError
from quartet_metrics.series.catalog_domain import Alias, Kind, Metric

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FAR = datetime(9999, 12, 31, tzinfo=UTC)
"""After every sample."""
MAX_POINTS = 10_000
"""The maximum number of points in all series of a response."""
ALL = "all"
"""The key of the only series of a query without a label."""
NO_LABEL = "none"


class TooManyPointsError(BadRequestError):
    """400: the response would have more than MAX_POINTS points; the text says how to get fewer."""

    def __init__(self) -> None:
        super().__init__(
            f"The response would have more than {MAX_POINTS} points (buckets times series). Use a shorter range "
            "(from, to), a longer step such as step=day, or by=none.",
            "too_many_points",
        )


@dataclass(frozen=True)
class Step:
    """The width of the buckets; `duration` is its ISO 8601 name, `range` the length of a query without `from`."""

    name: str
    duration: str
    range: timedelta
    width: timedelta | None = None
    """None for steps of the calendar, whose length differs."""


STEPS: Mapping[str, Step] = MappingProxyType(
    {
        step.name: step
        for step in (
            Step("minute", "PT1M", HOUR, MINUTE),
            Step("hour", "PT1H", DAY, HOUR),
            Step("day", "P1D", DAY),
            Step("week", "P7D", 28 * DAY),
            Step("month", "P1M", 365 * DAY),
        )
    }
)


@dataclass(frozen=True)
class Kept:
    """Since when amounts of minutes and of hours are kept: each the begin of a day in UTC."""

    minutes_from: datetime
    hours_from: datetime

    @classmethod
    def at(cls, now: datetime, minute_days: int, hour_days: int) -> "Kept":
        """What is kept at `now`."""
        today = floor(now, DAY)
        return cls(today - minute_days * DAY, today - hour_days * DAY)


class Segment(NamedTuple):
    """A part of a range, read from samples of one stored step."""

    step: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Query:
    """A valid query: the buckets that begin at `starts`, as far as they are between `start` and `end`, in UTC."""

    name: str
    alias: Alias
    start: datetime
    end: datetime
    step: Step
    by: str
    starts: tuple[datetime, ...]

    @property
    def metric(self) -> Metric:
        """The metric."""
        return self.alias.metric

    @property
    def buckets(self) -> int:
        """The number of buckets, including a first or last one that is only partly in the range."""
        return len(self.starts)

    @property
    def finest(self) -> str:
        """The stored step that the query needs: its buckets begin and end at multiples of it."""
        if self.metric.kind is Kind.DAILY:
            return "day"
        edges = (self.start, self.end, *self.starts[1:])
        if self.step.width == MINUTE or any(floor(edge, HOUR) != edge for edge in edges):
            return "minute"
        is_daily = self.step.width is None and all(floor(edge, DAY) == edge for edge in self.starts[1:])
        return "day" if is_daily else "hour"

    def segments(self) -> list[Segment]:
        """What to read: the range, and for a gauge all that followed it."""
        if self.finest != "day":
            found = [Segment(self.finest, self.start, self.end)]
        else:
            found = list(_with_edges(self.start, self.end))
        return found if self.metric.kind is Kind.COUNTER else [*found, *_following(self.end)]


class Cell(NamedTuple):
    """What a series adds to one bucket; `bucket` is its number, the first is 1."""

    key: str
    bucket: int
    value: int


def bucket_starts(start: datetime, end: datetime, step: Step, zone: tzinfo) -> tuple[datetime, ...]:
    """When the buckets begin that are at least partly between `start` and `end`, in UTC; days, weeks (from Monday) and
    months begin at midnight in `zone`.

    Raises TooManyPointsError for more than MAX_POINTS, and OverflowError near the years 1 and 9999.
    """
    found: list[datetime] = []
    for moment in _fixed(start, step.width) if step.width is not None else _calendar(start, step, zone):
        if moment >= end:
            break
        if len(found) == MAX_POINTS:
            raise TooManyPointsError
        found.append(moment)
    return tuple(found)


def _fixed(start: datetime, width: timedelta) -> Iterator[datetime]:
    moment = floor(start, width)
    while True:
        yield moment
        moment += width


def _calendar(start: datetime, step: Step, zone: tzinfo) -> Iterator[datetime]:
    day = _first_day(start.astimezone(zone).date(), step)
    while True:
        yield datetime.combine(day, time(), zone).astimezone(UTC)
        day = _first_day(day + timedelta(days={"day": 1, "week": 7}.get(step.name, 31)), step)


def _first_day(day: date, step: Step) -> date:
    """The day on which the bucket with `day` begins."""
    if step.name == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if step.name == "month" else day


def _with_edges(start: datetime, end: datetime) -> Iterator[Segment]:
    """Whole days, and hours before and after them."""
    low, high = ceiling(start, DAY), floor(end, DAY)
    if low > high:
        yield Segment("hour", start, end)
        return
    parts = (Segment("hour", start, low), Segment("day", low, high), Segment("hour", high, end))
    yield from (part for part in parts if part.start < part.end)


def _following(end: datetime) -> Iterator[Segment]:
    """All after `end`: minutes, then hours, then days."""
    hour = ceiling(end, HOUR)
    day = ceiling(hour, DAY)
    parts = (Segment("minute", end, hour), Segment("hour", hour, day), Segment("day", day, FAR))
    yield from (part for part in parts if part.start < part.end)


def floor(time: datetime, width: timedelta) -> datetime:
    """The last boundary at or before `time`, in UTC; boundaries are multiples of `width` since the epoch."""
    return EPOCH + (time - EPOCH) // width * width


def ceiling(time: datetime, width: timedelta) -> datetime:
    """The first boundary at or after `time`, in UTC. Raises OverflowError beyond the year 9999."""
    return EPOCH - (EPOCH - time) // width * width


def sums(query: Query, cells: Sequence[Cell]) -> dict[str, list[int]]:
    """The values of each series of a counter, sorted by key: one for every bucket, 0 for those without amounts."""
    found = {ALL: [0] * query.buckets} if query.by == NO_LABEL else {}
    for cell in cells:
        found.setdefault(cell.key, [0] * query.buckets)[cell.bucket - 1] += cell.value
    return dict(sorted(found.items()))


def levels(query: Query, totals: Mapping[str, int], cells: Iterable[Cell]) -> dict[str, list[int]]:
    """The values of each series of a gauge at the ends of the buckets, sorted by key.

    `totals` are the present values, `cells` what was added since the first bucket; those of the bucket after the last
    were added after the range.
    """
    totals = {ALL: 0, **totals} if query.by == NO_LABEL else totals
    added = {key: [0] * (query.buckets + 2) for key in totals}
    for cell in cells:
        added[cell.key][cell.bucket] += cell.value
    found: dict[str, list[int]] = {}
    for key in sorted(totals):
        value, values = totals[key], list[int]()
        for bucket in range(query.buckets, 0, -1):
            value -= added[key][bucket + 1]
            values.append(value)
        found[key] = values[::-1]
    return found
