"""Parses the query string of `/metrics/query`; errors name the invalid parameter."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo

from quartet_common.core.validation_messages import shown
from quartet_common.web.query_parameters import BadParameterError, single, time
from quartet_metrics.queries.query_domain import (
    DAY,
    HOUR,
    MINUTE,
    NO_LABEL,
    STEPS,
    Kept,
    Query,
    Step,
    bucket_starts,
    ceiling,
    floor,
)
from quartet_metrics.series.catalog_domain import ALIASES, Kind, Metric

T = TypeVar("T")

NAMES = ("metric", "from", "to", "step", "by", "tz")
DAILY_RANGE = timedelta(days=30)
"""The range of a query for a daily metric without `from`."""
NO_ZONE = "UTC"


def read_query(parameters: Mapping[str, Sequence[str]], now: datetime, kept: Kept) -> Query:
    """The query in `parameters` (name to all its values).

    `from` and `to` are widened to whole hours, of steps of a minute to minutes, of what is only kept by days to days.
    Raises BadParameterError and TooManyPointsError (400).
    """
    given = {name: single(name, values, NAMES) for name, values in parameters.items()}
    alias = _one_of("metric", given.get("metric"), ALIASES)
    metric = alias.metric
    step = _step(given.get("step"), metric)
    by = given.get("by", NO_LABEL)
    _one_of("by", by, dict.fromkeys((*metric.labels, NO_LABEL)))
    zone = _zone(given.get("tz", NO_ZONE), metric)
    try:
        start, end = _range(given.get("from"), given.get("to"), now, step, metric)
        if metric.kind is Kind.DAILY or (start < kept.hours_from and step.width is None and zone is UTC):
            start, end = floor(start, DAY), ceiling(end, DAY)
        starts = bucket_starts(start, end, step, zone)
    except (OverflowError, ValueError):
        raise BadParameterError("to" if "to" in given else "from", "is out of range") from None
    query = Query(given["metric"], alias, start, end, step, by, starts)
    _check_kept(query, kept)
    return query


def _one_of(name: str, value: str | None, known: Mapping[str, T]) -> T:
    if value is None or value not in known:
        got = "" if value is None else f", got {shown(value)}"
        raise BadParameterError(name, f"must be one of {', '.join(known)}{got}")
    return known[value]


def _step(text: str | None, metric: Metric) -> Step:
    is_daily = metric.kind is Kind.DAILY
    allowed = {name: step for name, step in STEPS.items() if step.width is None or not is_daily}
    by_duration = {step.duration: step for step in allowed.values()}
    return _one_of("step", text or ("day" if is_daily else "hour"), {**allowed, **by_duration})


def _zone(name: str, metric: Metric) -> tzinfo:
    """The time zone. UTC is one object, so that it is known whatever it is called."""
    if name == NO_ZONE:
        return UTC
    if metric.kind is Kind.DAILY:
        raise BadParameterError("tz", f"must be UTC, since {metric.name} has days in UTC only, got {shown(name)}")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        rule = f"must be the name of an IANA time zone, such as Europe/Berlin, got {shown(name)}"
        raise BadParameterError("tz", rule) from None


def _range(
    since: str | None, until: str | None, now: datetime, step: Step, metric: Metric
) -> tuple[datetime, datetime]:
    """The range in whole hours or minutes: one that is partly in it counts as a whole."""
    unit = MINUTE if step.width == MINUTE else HOUR
    end = ceiling(now if until is None else time("to", until), unit)
    length = DAILY_RANGE if metric.kind is Kind.DAILY and step.name == "day" else step.range
    start = end - length if since is None else floor(time("from", since), unit)
    if start >= end:
        raise BadParameterError("from", "must be before to")
    return start, end


def _check_kept(query: Query, kept: Kept) -> None:
    """Raises BadParameterError if the query needs amounts that are not kept any more."""
    first = {"minute": kept.minutes_from, "hour": kept.hours_from}.get(query.finest, query.start)
    if query.start < first:
        advice = {
            "minute": "a longer step, or a time zone that differs from UTC by whole hours",
            "hour": "step=day with tz=UTC",
        }[query.finest]
        rule = (
            f"must not be before {first:%Y-%m-%dT%H:%M:%SZ}, since {query.finest}s before it are not kept: use {advice}"
        )
        raise BadParameterError("from", rule)
