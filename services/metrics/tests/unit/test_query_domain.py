"""Buckets, the stored steps that a query needs, and series without gaps."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_metrics.queries.query_domain import (
    ALL,
    DAY,
    FAR,
    HOUR,
    MAX_POINTS,
    MINUTE,
    STEPS,
    Cell,
    Kept,
    Query,
    Segment,
    TooManyPointsError,
    bucket_starts,
    ceiling,
    floor,
    levels,
    sums,
)
from quartet_metrics.series.catalog_domain import ALIASES

NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
times = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # made aware here


def query(
    start: datetime, end: datetime, step: str = "hour", by: str = "none", metric: str = "events", zone: Any = UTC
) -> Query:
    starts = bucket_starts(start, end, STEPS[step], zone)
    return Query(metric, ALIASES[metric], start, end, STEPS[step], by, starts)


def test_an_hour_begins_at_its_full_hour() -> None:
    assert floor(datetime(2026, 1, 31, 9, 59, 59, 999999, tzinfo=UTC), HOUR) == NINE
    assert floor(NINE, HOUR) == NINE


def test_a_day_begins_at_midnight_utc_whatever_the_zone_of_the_time() -> None:
    plus_five_and_a_half = timezone(timedelta(hours=5, minutes=30))
    assert floor(datetime(2026, 2, 1, 3, tzinfo=plus_five_and_a_half), DAY) == datetime(2026, 1, 31, tzinfo=UTC)


def test_the_ceiling_of_a_boundary_is_the_boundary_itself() -> None:
    assert ceiling(NINE, HOUR) == NINE
    assert ceiling(NINE + timedelta(microseconds=1), HOUR) == NINE + HOUR


@given(times, st.sampled_from([MINUTE, HOUR, DAY]))
def test_floor_and_ceiling_enclose_a_time_by_less_than_one_bucket(time: datetime, width: timedelta) -> None:
    low, high = floor(time, width), ceiling(time, width)
    assert low <= time <= high
    assert time - low < width
    assert high - time < width
    assert floor(low, width) == low
    assert ceiling(high, width) == high


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (datetime(2026, 1, 31, 9, tzinfo=UTC), datetime(2026, 1, 31, 10, tzinfo=UTC), 1),
        (datetime(2026, 1, 31, 23, tzinfo=UTC), datetime(2026, 2, 1, 1, tzinfo=UTC), 2),
        (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), 1),
        (datetime(2026, 1, 31, 1, tzinfo=UTC), datetime(2026, 2, 2, 1, tzinfo=UTC), 3),
    ],
)
def test_a_day_that_the_range_touches_is_a_bucket(start: datetime, end: datetime, days: int) -> None:
    assert query(start, end, "day").buckets == days


@pytest.mark.parametrize(
    ("zone", "step", "start", "expected"),
    [
        # summer time begins on 29 March 2026 in Berlin, so that day has 23 hours, and ends on 25 October
        ("Europe/Berlin", "day", "2026-03-28T12:00:00Z", ["03-27T23:00", "03-28T23:00", "03-29T22:00"]),
        ("Europe/Berlin", "day", "2026-10-24T12:00:00Z", ["10-23T22:00", "10-24T22:00", "10-25T23:00"]),
        # in Beirut it begins at midnight: 29 March begins at one o'clock
        ("Asia/Beirut", "day", "2026-03-28T12:00:00Z", ["03-27T22:00", "03-28T22:00", "03-29T21:00"]),
        # in Havana it ends at one o'clock, so 1 November has two midnights, and begins at the first
        ("America/Havana", "day", "2026-10-31T12:00:00Z", ["10-31T04:00", "11-01T04:00", "11-02T05:00"]),
        ("Asia/Kolkata", "day", "2026-03-28T12:00:00Z", ["03-27T18:30", "03-28T18:30", "03-29T18:30"]),
        ("Europe/Berlin", "week", "2026-03-28T12:00:00Z", ["03-22T23:00", "03-29T22:00", "04-05T22:00"]),
        ("Europe/Berlin", "month", "2026-03-28T12:00:00Z", ["02-28T23:00", "03-31T22:00", "04-30T22:00"]),
        ("UTC", "month", "2026-12-31T12:00:00Z", ["12-01T00:00", "01-01T00:00", "02-01T00:00"]),
        ("Europe/Berlin", "hour", "2026-03-28T12:00:00Z", ["03-28T12:00", "03-28T13:00", "03-28T14:00"]),
        ("UTC", "minute", "2026-03-28T12:00:00Z", ["03-28T12:00", "03-28T12:01", "03-28T12:02"]),
    ],
)
def test_days_weeks_and_months_begin_at_midnight_of_the_zone(
    zone: str, step: str, start: str, expected: list[str]
) -> None:
    begin = datetime.fromisoformat(start)
    found = bucket_starts(begin, begin + 90 * DAY, STEPS[step], ZoneInfo(zone)) if step != "minute" else bucket_starts(
        begin, begin + HOUR, STEPS[step], ZoneInfo(zone)
    )  # fmt: skip
    assert [f"{one:%m-%dT%H:%M}" for one in found[:3]] == expected


def test_more_buckets_than_points_are_refused_without_making_them_all() -> None:
    assert len(bucket_starts(NINE, NINE + MAX_POINTS * MINUTE, STEPS["minute"], UTC)) == MAX_POINTS
    with pytest.raises(TooManyPointsError, match="step=day"):
        bucket_starts(datetime(1, 1, 1, tzinfo=UTC), FAR, STEPS["minute"], UTC)


def test_a_query_reads_whole_days_and_the_hours_around_them() -> None:
    assert query(NINE, NINE + 2 * DAY, "month").segments() == [
        Segment("hour", NINE, datetime(2026, 2, 1, tzinfo=UTC)),
        Segment("day", datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)),
        Segment("hour", datetime(2026, 2, 2, tzinfo=UTC), NINE + 2 * DAY),
    ]
    assert query(NINE, NINE + HOUR, "day").segments() == [Segment("hour", NINE, NINE + HOUR)]
    assert query(NINE, NINE + HOUR).segments() == [Segment("hour", NINE, NINE + HOUR)]
    assert query(NINE, NINE + HOUR, "minute").segments() == [Segment("minute", NINE, NINE + HOUR)]
    assert query(NINE, NINE + DAY, "day", zone=ZoneInfo("Europe/Berlin")).finest == "hour"
    assert query(NINE, NINE + DAY, "day", zone=ZoneInfo("Asia/Kolkata")).finest == "minute"
    assert query(NINE, NINE + DAY, "day", metric="quartet_daily_active_users").finest == "day"


def test_a_gauge_reads_all_that_followed_the_range_too() -> None:
    end = NINE + 61 * MINUTE
    assert query(NINE, end, "minute", metric="quartet_users").segments()[1:] == [
        Segment("minute", end, NINE + 2 * HOUR),
        Segment("hour", NINE + 2 * HOUR, datetime(2026, 2, 1, tzinfo=UTC)),
        Segment("day", datetime(2026, 2, 1, tzinfo=UTC), FAR),
    ]


def test_what_is_kept_begins_at_midnight() -> None:
    assert Kept.at(NINE, 7, 400) == Kept(datetime(2026, 1, 24, tzinfo=UTC), datetime(2024, 12, 27, tzinfo=UTC))


def test_every_bucket_of_the_range_is_there_also_where_nothing_happened() -> None:
    cells = [Cell("b", 2, 7), Cell("a", 4, 2)]
    assert sums(query(NINE, NINE + 4 * HOUR, by="type"), cells) == {"a": [0, 0, 0, 2], "b": [0, 7, 0, 0]}


def test_without_a_label_there_is_one_series_even_of_nothing_and_with_one_there_is_none() -> None:
    assert sums(query(NINE, NINE + HOUR), []) == {ALL: [0]}
    assert levels(query(NINE, NINE + HOUR), {}, []) == {ALL: [0]}
    assert sums(query(NINE, NINE + HOUR, by="type"), []) == {}
    assert levels(query(NINE, NINE + HOUR, by="type"), {}, []) == {}


def test_a_level_is_the_present_value_without_what_was_added_later() -> None:
    cells = [Cell("a", 1, 5), Cell("a", 2, -2), Cell("a", 4, 10)]  # the fourth bucket is all after the range
    assert levels(query(NINE, NINE + 3 * HOUR, by="type"), {"a": 20, "b": 3}, cells) == {
        "a": [12, 10, 10],
        "b": [3, 3, 3],
    }


@given(st.data())
def test_levels_are_the_running_sums_of_all_amounts(data: st.DataObject) -> None:
    asked = query(NINE, NINE + data.draw(st.integers(1, 24)) * HOUR)
    before = data.draw(st.integers(-100, 100))
    amounts = data.draw(st.lists(st.integers(-9, 9), min_size=asked.buckets + 1, max_size=asked.buckets + 1))
    cells = [Cell(ALL, number + 1, amount) for number, amount in enumerate(amounts)]
    assert levels(asked, {ALL: before + sum(amounts)}, cells)[ALL] == [
        before + sum(amounts[: number + 1]) for number in range(asked.buckets)
    ]
