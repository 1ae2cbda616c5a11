"""The rules of imports: which lines of an export are valid; no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from quartet_metrics.series.catalog_domain import METRICS, Kind
from quartet_metrics.series.series_domain import series_id

ZERO = {"minute": ("second",), "hour": ("second", "minute"), "day": ("second", "minute", "hour")}
"""What is 0 in the start of a step."""
BIGINT = 2**63
MOST = 10**12
"""The largest amount: the sum of all days that there can be fits into a bigint."""


class LineError(ValueError):
    """A line is not one of an export: its number, and what is wrong with it."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"line {number}: {problem}")


class SeriesLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A series; `total` is the sum of its days, which follow."""

    series: str
    metric: str
    labels: tuple[str, ...]
    total: int


class SampleLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By how much a series grew in a minute, hour or day."""

    series: str
    step: Literal["minute", "hour", "day"]
    start: Annotated[datetime, msgspec.Meta(tz=True)]
    amount: Annotated[int, msgspec.Meta(ge=-MOST, le=MOST)]


class ActiveUserLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user who was active on a day."""

    day: date
    user_id: UUID


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["series", "sample", "active_user", "end"]
    data: msgspec.Raw = msgspec.Raw(b"null")
    count: int = 0


@dataclass(frozen=True)
class Import:
    """The lines of a part of an export: series by their ids, the samples of any series, and active users."""

    series: dict[int, SeriesLine] = field(default_factory=dict)
    samples: dict[tuple[int, str, datetime], int] = field(default_factory=dict)
    users: set[tuple[date, UUID]] = field(default_factory=set)

    @property
    def unknown(self) -> set[int]:
        """The series of samples that are not in this part."""
        return {series for series, _, _ in self.samples} - self.series.keys()


def read_lines(lines: Iterable[bytes]) -> Import:
    """The content of a part of an export, whose lines are JSON objects. Raises LineError for the first wrong line."""
    found = Import()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                _take(found, msgspec.json.decode(line, type=_Line))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise LineError(number, str(error)) from error
    return found


def _take(found: Import, line: _Line) -> None:
    if line.kind == "series":
        series = msgspec.json.decode(line.data, type=SeriesLine)
        found.series[_checked(series)] = series
    elif line.kind == "sample":
        sample = msgspec.json.decode(line.data, type=SampleLine)
        start = sample.start.astimezone(UTC)
        if start.microsecond or any(getattr(start, part) for part in ZERO[sample.step]):
            raise ValueError(f"no {sample.step} (UTC) starts at {sample.start.isoformat()}")
        key = _number(sample.series), sample.step, start
        if key in found.samples:
            raise ValueError(f"an earlier line has the {sample.step} {start.isoformat()} of the same series")
        found.samples[key] = sample.amount
    elif line.kind == "active_user":
        user = msgspec.json.decode(line.data, type=ActiveUserLine)
        found.users.add((user.day, user.user_id))


def _checked(series: SeriesLine) -> int:
    """The id of a series. Raises ValueError unless the catalog has its metric with as many labels."""
    metric = METRICS.get(series.metric)
    if metric is None:
        raise ValueError(f"there is no metric {series.metric!r}")
    if len(series.labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has {len(metric.labels)} labels, not {len(series.labels)}")
    if _number(series.series) != series_id(series.metric, series.labels):
        raise ValueError(f"{series.series} is not the id of {metric.name} with the labels {', '.join(series.labels)}")
    return _number(series.series)


def _number(text: str) -> int:
    number = int(text) if text.removeprefix("-").isdecimal() and text.isascii() else BIGINT
    if not -BIGINT <= number < BIGINT:
        raise ValueError(f"{text!r} is not the id of a series")
    return number


def check_amounts(found: Import, metrics: dict[int, str]) -> None:
    """Raises ValueError unless each sample has a series, whose kind it fits; `metrics` are those of other series."""
    names = metrics | {number: series.metric for number, series in found.series.items()}
    for (series, step, start), amount in found.samples.items():
        if series not in names:
            raise ValueError(f"the series {series} of a sample is neither in this part nor imported before")
        kind = METRICS[names[series]].kind
        if kind is Kind.DAILY and step != "day":
            raise ValueError(f"{names[series]} has days only, not the {step} {start.isoformat()}")
        if kind is not Kind.GAUGE and amount < 0:
            raise ValueError(f"{names[series]} cannot grow by {amount}, as in the {step} {start.isoformat()}")
