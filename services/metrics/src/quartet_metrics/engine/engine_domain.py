"""The rules of samples in the engine: labels, history without gaps, late events, the filter of a tenant; no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from quartet_common.core.identifiers import SYSTEM_TENANT, TENANT_ID
from quartet_metrics.series.catalog_domain import METRICS, Kind
from quartet_metrics.series.series_domain import SeriesKey

TENANT: Final = "tenant"
"""The label with the tenant of a series: enforced in queries, and removed from responses."""
MARK: Final = "quartet_engine_filled"
"""A series of the platform's tenant; an engine without it is new, or has lost its data."""
DAILY: Final = tuple(name for name, metric in METRICS.items() if metric.kind is Kind.DAILY)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SETTLED: Final = timedelta(seconds=5)
"""How long the engine needs until it can delete what was written."""
DURABLE: Final = timedelta(minutes=1)
"""After which no crash of the engine undoes a deletion, and no request that was taken before the deletion of its tenant
writes any more.
"""
SOON, FAR = timedelta(minutes=1), timedelta(minutes=5)
"""A series with events that are later than FAR is written again SOON, any other with late events after a day."""


class Sample(NamedTuple):
    """The value of a series at a time."""

    time: datetime
    value: int


def tenant_filter(tenant: str) -> str:
    """The selector of the series of `tenant`. Raises ValueError for a text that is no tenant id: it could be more."""
    if TENANT_ID.fullmatch(tenant) is None:
        raise ValueError("not a tenant id")
    return f'{{{TENANT}="{tenant}"}}'


def labels_of(series: SeriesKey) -> dict[str, str]:
    """The labels of a series in the engine."""
    named = zip(METRICS[series.metric].labels, series.labels, strict=True)
    return {"__name__": series.metric, **dict(named), TENANT: series.tenant}


def selector_of(series: SeriesKey) -> str:
    """The selector of exactly one series."""
    labels = {name: value for name, value in labels_of(series).items() if value}
    return f"{{{','.join(f'{name}={_quoted(value)}' for name, value in labels.items())}}}"


def line_of(labels: Mapping[str, str], values: Sequence[Sample]) -> bytes:
    """The samples of a series as a line of an import."""
    return msgspec.json.encode(
        {
            "metric": labels,
            "values": [one.value for one in values],
            "timestamps": [_milliseconds(one.time) for one in values],
        }
    )


def mark(now: datetime) -> bytes:
    """The line by which the engine is known."""
    return line_of({"__name__": MARK, TENANT: SYSTEM_TENANT}, [Sample(now, 1)])


def beginning(metric: str, changed_from: datetime) -> list[Sample]:
    """The first sample of a new counter: a 0, without which its first value would be no increase.

    It has a time before all events, which repeated writes have in common.
    """
    return [Sample(changed_from - SECOND, 0)] if METRICS[metric].kind is Kind.COUNTER else []


def rewrite_due(metric: str, changed_from: datetime, now: datetime) -> datetime | None:
    """When a changed series is to be written again, since it has late amounts; None if it has none."""
    width = DAY if metric in DAILY else MINUTE
    late_by = now - (changed_from + width)
    if late_by < timedelta():
        return None
    return now + (SOON if late_by > FAR else DAY)


def history(
    values: Sequence[tuple[datetime, int]], now: datetime, minutes_from: datetime, hours_from: datetime
) -> list[Sample]:
    """The samples of a series from its first change until `now`, from its values at the ends of minutes, hours and
    days, of which the first is that before.

    The times between are filled, each minute, and before `minutes_from` each hour, so that the engine sees no gap. A
    counter begins with a 0, without which its first value would not count as an increase.
    """
    if len(values) < 2:
        return []
    found = [Sample(values[1][0] - MINUTE, values[0][1])]
    for value in (Sample(*one) for one in values[1:] if one[0] <= now):
        found += _between(found[-1], value.time, minutes_from, hours_from)
        found.append(value)
    return [*found, *_between(found[-1], now, minutes_from, hours_from)]


def daily_history(days: Sequence[Sample], now: datetime) -> list[Sample]:
    """The samples of a daily metric: the number of each day at its end, and that of today now."""
    past = [one for one in days if one.time <= now]
    return [*past, Sample(now, days[-1].value if len(past) < len(days) else 0)]


def _between(last: Sample, end: datetime, minutes_from: datetime, hours_from: datetime) -> Iterator[Sample]:
    """The value of `last` at the whole minutes or hours between it and `end`."""
    time = last.time
    while True:
        width = DAY if time < hours_from else HOUR if time < minutes_from else MINUTE
        time = time + width
        if time >= end:
            return
        yield Sample(time, last.value)


def _quoted(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
