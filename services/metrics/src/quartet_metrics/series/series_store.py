"""SQL of series and their samples: connection first; never commits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from quartet_common.data.connections import Connection
from quartet_metrics.series.series_domain import SEPARATOR, Amounts, Place, SeriesKey, series_id

STEPS: Mapping[str, Callable[[datetime], datetime]] = MappingProxyType(
    {
        "minute": lambda minute: minute,
        "hour": lambda minute: minute.replace(minute=0),
        "day": lambda minute: minute.replace(hour=0, minute=0),
    }
)
"""The stored steps, and when that of a minute begins."""
FAR_PAST = datetime(1970, 1, 1, tzinfo=UTC)

# The rows of series are locked first, in the order of their key, so workers cannot block each other; samples of a
# series are written only by who has its row. The count makes all rows of series come first.
ADD = """
WITH locked AS (
    INSERT INTO series AS known (tenant_id, series, metric, labels, total, changed_from)
    SELECT tenant_id, series, metric, string_to_array(labels, $6), amount, start
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $7::timestamptz[])
        AS given (tenant_id, series, metric, labels, amount, start)
    ON CONFLICT (tenant_id, series) DO UPDATE SET total = known.total + excluded.total,
        changed_from = least(known.changed_from, excluded.changed_from), revision = known.revision + 1
    RETURNING 1
)
INSERT INTO samples AS known (tenant_id, series, step, start, amount)
SELECT given.* FROM (SELECT count(*) FROM locked) AS done,
    unnest($8::text[], $9::bigint[], $10::text[], $11::timestamptz[], $12::bigint[])
        AS given (tenant_id, series, step, start, amount)
ON CONFLICT (tenant_id, series, step, start) DO UPDATE SET amount = known.amount + excluded.amount"""
# The value at the end of a sample is the total without the amounts that follow.
VALUES = """
SELECT number, found.start + ('1 ' || found.step)::interval AS ending,
    (series.total - coalesce(sum(found.amount) OVER later, 0))::bigint AS value,
    (series.total - sum(found.amount) OVER (PARTITION BY number))::bigint AS base
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) WITH ORDINALITY AS given (tenant_id, series, first, number)
JOIN series USING (tenant_id, series)
CROSS JOIN LATERAL (
    SELECT step, start, amount FROM samples WHERE samples.tenant_id = series.tenant_id
    AND samples.series = series.series AND samples.step = 'minute' AND samples.start >= greatest(first, $4::timestamptz)
    UNION ALL
    SELECT step, start, amount FROM samples WHERE samples.tenant_id = series.tenant_id
    AND samples.series = series.series AND samples.step = 'hour'
    AND samples.start >= greatest(first, $5::timestamptz) AND samples.start < $4
    UNION ALL
    SELECT step, start, amount FROM samples WHERE samples.tenant_id = series.tenant_id
    AND samples.series = series.series AND samples.step = 'day' AND samples.start >= first AND samples.start < $5
) AS found
WINDOW later AS (PARTITION BY number ORDER BY found.start DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
ORDER BY number, found.start"""
DAYS = """
SELECT start + interval '1 day' AS ending, amount AS value FROM samples
WHERE tenant_id = $1 AND series = $2 AND step = 'day' AND start >= $3 AND start <= $4 ORDER BY start"""


class ChangedSeries(NamedTuple):
    """A series with samples that were added or changed since `changed_from`, and the revision that says so."""

    tenant: str
    series: int
    metric: str
    labels: tuple[str, ...]
    changed_from: datetime
    revision: int


class Value(NamedTuple):
    """The value of a series at a time: of a counter or gauge the sum of all before it."""

    time: datetime
    value: int


async def add_amounts(connection: Connection, amounts: Amounts, days: Amounts) -> None:
    """Add `amounts` of minutes, which count in their hours and days too, and `days` of daily metrics, by one
    statement.
    """
    series = _by_series([*amounts.items(), *days.items()])
    samples = _samples(amounts, days)
    await connection.execute(
        ADD,
        [key.tenant for key in series],
        [series_id(key.metric, key.labels) for key in series],
        [key.metric for key in series],
        [SEPARATOR.join(key.labels) for key in series],
        [total for total, _ in series.values()],
        SEPARATOR,
        [start for _, start in series.values()],
        *zip(*((*sample, amount) for sample, amount in samples.items()), strict=True),
    )


async def read_values(
    connection: Connection, changed: Sequence[ChangedSeries], minutes_from: datetime, hours_from: datetime
) -> list[list[Value]]:
    """The values of counters and gauges from their `changed_from` on, by time: that before the first change, and one at
    the end of each minute with a change (of an hour before `minutes_from`, of a day before `hours_from`).

    All are of one moment; the last is the present value. The end of the running minute is in the future.
    """
    firsts = [
        one.changed_from if one.changed_from >= minutes_from else STEPS["day"](one.changed_from) for one in changed
    ]
    rows = await connection.fetch(
        VALUES, [one.tenant for one in changed], [one.series for one in changed], firsts, minutes_from, hours_from
    )
    found: list[list[Value]] = [[] for _ in changed]
    for row in rows:
        values = found[row["number"] - 1]
        if not values:
            values.append(Value(firsts[row["number"] - 1], row["base"]))
        values.append(Value(row["ending"], row["value"]))
    return found


async def read_days(connection: Connection, changed: ChangedSeries, now: datetime) -> list[Value]:
    """The values of a daily metric from `changed_from` until today, each at the end of its day."""
    rows = await connection.fetch(DAYS, changed.tenant, changed.series, changed.changed_from, now)
    return [Value(row["ending"], row["value"]) for row in rows]


def _by_series(amounts: Iterable[tuple[Place, int]]) -> dict[SeriesKey, tuple[int, datetime]]:
    """The sum and the first time of each series, in the order of the key of the table."""
    found: dict[SeriesKey, tuple[int, datetime]] = {}
    for place, amount in amounts:
        total, first = found.get(place.key, (0, place.start))
        found[place.key] = (total + amount, min(first, place.start))
    return dict(sorted(found.items(), key=lambda item: (item[0].tenant, series_id(item[0].metric, item[0].labels))))


def _samples(amounts: Amounts, days: Amounts) -> dict[tuple[str, int, str, datetime], int]:
    """The amount of each row of samples."""
    found: dict[tuple[str, int, str, datetime], int] = {}
    for given, steps in ((amounts, tuple(STEPS)), (days, ("day",))):
        for (key, start), amount in given.items():
            series = series_id(key.metric, key.labels)
            for step in steps:
                row = (key.tenant, series, step, STEPS[step](start))
                found[row] = found.get(row, 0) + amount
    return found
