"""Parameters: reads the query string of `/metrics/query` and names what is wrong in it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from quartet_common.core.validation_messages import shown
from quartet_common.web.query_parameters import BadParameterError, single, time
from quartet_metrics.errors import TooManyPointsError
from quartet_metrics.metric_domain import HOUR, MAX_POINTS, METRICS, NO_DIMENSION, STEPS, Query, Step, ceiling, floor

T = TypeVar("T")

NAMES = ("metric", "from", "to", "step", "by")
DEFAULT_RANGE = timedelta(hours=24)


def read_query(parameters: Mapping[str, Sequence[str]], now: datetime) -> Query:
    """The question in `parameters` (name to all its values).

    `from` and `to` are widened to whole hours; without them the range is the 24 hours that end with the one running
    at `now`. Raises BadParameterError and TooManyPointsError (400).
    """
    given = {name: single(name, values, NAMES) for name, values in parameters.items()}
    metric = _one_of("metric", given.get("metric"), METRICS)
    step = _step(given.get("step", "hour"))
    by = given.get("by", NO_DIMENSION)
    _one_of("by", by, dict.fromkeys((*metric.dimensions, NO_DIMENSION)))
    start, end = _range(given.get("from"), given.get("to"), now)
    query = Query(metric, start, end, step, by)
    if query.buckets > MAX_POINTS:
        raise TooManyPointsError
    return query


def _one_of(name: str, value: str | None, known: Mapping[str, T]) -> T:
    if value is None or value not in known:
        got = "" if value is None else f", got {shown(value)}"
        raise BadParameterError(name, f"must be one of {', '.join(known)}{got}")
    return known[value]


def _step(text: str) -> Step:
    by_duration = {step.duration: step for step in STEPS.values()}
    return _one_of("step", text, {**STEPS, **by_duration})


def _range(since: str | None, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Whole hours from and to. The counts know no parts of hours, so an hour that is touched is in."""
    try:
        end = ceiling(now if until is None else time("to", until), HOUR)
        start = end - DEFAULT_RANGE if since is None else floor(time("from", since), HOUR)
    except OverflowError:
        raise BadParameterError("to", "is out of range") from None
    if start >= end:
        raise BadParameterError("from", "must be before to")
    return start, end
