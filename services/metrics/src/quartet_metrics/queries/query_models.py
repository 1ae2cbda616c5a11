"""Shapes of requests and responses about metrics."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from quartet_metrics.queries.query_domain import MAX_POINTS, NO_LABEL, STEPS
from quartet_metrics.series.catalog_domain import METRICS


class Point(Struct, frozen=True):
    """The value of the bucket that begins at `time`."""

    time: datetime
    value: int


class Series(Struct, frozen=True):
    """The points of one key, one for every bucket of the range."""

    key: str
    points: list[Point]


class Answer(Struct, frozen=True, kw_only=True):
    """The response of `/metrics/query`; `from` and `to` are what was counted. `total` is the sum of a counter, and the
    last values of a gauge together.
    """

    metric: str
    start: datetime = field(name="from")
    end: datetime = field(name="to")
    step: str
    by: str
    series: list[Series]
    total: int


class Parameters(Struct, frozen=True, kw_only=True):
    """The query string of `/metrics/query`."""

    metric: Annotated[str, Meta(description=f"One of {', '.join(METRICS)}. Required.")] = ""
    start: Annotated[
        str,
        Meta(
            description="RFC 3339 time, inclusive, rounded down to the hour (with step=minute to the minute). Default: "
            "1 hour before `to` for minutes, 24 hours for hours and days, 28 days for weeks, 365 days for months, 30 "
            "days for days of active users."
        ),
    ] = field(name="from", default="")
    end: Annotated[
        str, Meta(description="RFC 3339 time, exclusive, rounded up. Default: the end of the current hour or minute.")
    ] = field(name="to", default="")
    step: Annotated[
        str, Meta(description="minute (PT1M), hour (PT1H), day (P1D), week (P7D, from Monday) or month (P1M).")
    ] = "hour"
    by: Annotated[str, Meta(description="A label of the metric, or none: one series for each value.")] = NO_LABEL
    tz: Annotated[
        str, Meta(description="IANA time zone in which days, weeks and months begin, such as Europe/Berlin.")
    ] = "UTC"


class CatalogMetric(Struct, frozen=True):
    """A metric; `labels` are the values that `by` can have with it, in addition to none."""

    name: str
    type: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


class CatalogStep(Struct, frozen=True):
    """A width of buckets with both of its names."""

    name: str
    duration: str


class Catalog(Struct, frozen=True):
    """The supported metrics, steps and limits."""

    metrics: list[CatalogMetric]
    steps: list[CatalogStep]
    max_points: int


def catalog() -> Catalog:
    """The response of `/metrics/catalog`."""
    return Catalog(
        [CatalogMetric(one.name, one.type, one.unit, one.labels, one.meaning) for one in METRICS.values()],
        [CatalogStep(step.name, step.duration) for step in STEPS.values()],
        MAX_POINTS,
    )
