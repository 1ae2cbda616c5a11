"""Answers: the shapes of what goes in and out over HTTP, from which OpenAPI is made."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from quartet_metrics.metric_domain import MAX_POINTS, METRICS, NO_DIMENSION, STEPS


class Point(Struct, frozen=True):
    """The value of the bucket that begins at `time`."""

    time: datetime
    value: int


class Series(Struct, frozen=True):
    """The points of one key, one for every bucket of the range."""

    key: str
    points: list[Point]


class Answer(Struct, frozen=True, kw_only=True):
    """What `/metrics/query` answers; `from` and `to` are the whole hours that were counted."""

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
        str, Meta(description="RFC 3339 time, inclusive, rounded down to the hour. Default: 24 hours before `to`.")
    ] = field(name="from", default="")
    end: Annotated[
        str, Meta(description="RFC 3339 time, exclusive, rounded up to the hour. Default: the end of the current hour.")
    ] = field(name="to", default="")
    step: Annotated[str, Meta(description="hour (PT1H) or day (P1D); days begin at midnight UTC.")] = "hour"
    by: Annotated[str, Meta(description="type, outcome or none: one series for each value.")] = NO_DIMENSION


class CatalogMetric(Struct, frozen=True):
    """A metric and the values that `by` can have with it, beside none."""

    name: str
    unit: str
    description: str
    dimensions: tuple[str, ...]


class CatalogStep(Struct, frozen=True):
    """A width of buckets under both of its names."""

    name: str
    duration: str


class Catalog(Struct, frozen=True):
    """What can be asked for."""

    metrics: list[CatalogMetric]
    steps: list[CatalogStep]
    max_points: int


def catalog() -> Catalog:
    """What `/metrics/catalog` answers."""
    return Catalog(
        [CatalogMetric(item.name, item.unit, item.description, item.dimensions) for item in METRICS.values()],
        [CatalogStep(step.name, step.duration) for step in STEPS.values()],
        MAX_POINTS,
    )
