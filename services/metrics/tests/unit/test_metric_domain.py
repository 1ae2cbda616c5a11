"""Buckets, tallies and series without gaps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_common.messaging.envelope import DENIED, Event
from quartet_metrics.metric_domain import ALL, HOUR, METRICS, STEPS, Cell, CountKey, Query, ceiling, dense, floor, tally

DAY = timedelta(days=1)
NINE = datetime(2026, 1, 31, 9, tzinfo=UTC)
times = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # made aware here


def query(start: datetime, end: datetime, step: str = "hour", by: str = "none") -> Query:
    return Query(METRICS["events"], start, end, STEPS[step], by)


def test_an_hour_begins_at_its_full_hour() -> None:
    assert floor(datetime(2026, 1, 31, 9, 59, 59, 999999, tzinfo=UTC), HOUR) == NINE
    assert floor(NINE, HOUR) == NINE


def test_a_day_begins_at_midnight_utc_whatever_the_zone_of_the_time() -> None:
    plus_five_and_a_half = timezone(timedelta(hours=5, minutes=30))
    assert floor(datetime(2026, 2, 1, 3, tzinfo=plus_five_and_a_half), DAY) == datetime(2026, 1, 31, tzinfo=UTC)


def test_the_ceiling_of_a_boundary_is_the_boundary_itself() -> None:
    assert ceiling(NINE, HOUR) == NINE
    assert ceiling(NINE + timedelta(microseconds=1), HOUR) == NINE + HOUR


@given(times, st.sampled_from([HOUR, DAY]))
def test_floor_and_ceiling_enclose_a_time_by_less_than_one_bucket(time: datetime, width: timedelta) -> None:
    low, high = floor(time, width), ceiling(time, width)
    assert low <= time <= high
    assert time - low < width
    assert high - time < width
    assert floor(low, width) == low
    assert ceiling(high, width) == high


def test_events_of_one_key_are_counted_together_and_others_apart(event: Callable[..., Event]) -> None:
    counts = tally(
        [
            event("default", NINE),
            event("default", NINE + timedelta(minutes=59)),
            event("default", NINE + HOUR),
            event("other", NINE),
            event("default", NINE, "users.user.deleted"),
            event("default", NINE, outcome=DENIED),
        ]
    )
    assert dict(counts) == {
        CountKey("default", NINE, "users.user.created", "success"): 2,
        CountKey("default", NINE + HOUR, "users.user.created", "success"): 1,
        CountKey("other", NINE, "users.user.created", "success"): 1,
        CountKey("default", NINE, "users.user.deleted", "success"): 1,
        CountKey("default", NINE, "users.user.created", "denied"): 1,
    }


def test_all_versions_of_a_type_are_one_action(event: Callable[..., Event]) -> None:
    assert tally([event("default", NINE), event("default", NINE, version=2)]) == [
        (CountKey("default", NINE, "users.user.created", "success"), 2)
    ]


def test_a_tally_is_sorted_so_that_all_workers_lock_rows_in_one_order(event: Callable[..., Event]) -> None:
    events = [event(f"t{n % 5}", NINE - HOUR * (n % 3), f"users.user.{'ab'[n % 2]}") for n in range(60)]
    forwards, backwards = tally(events), tally(reversed(events))
    assert forwards == backwards
    assert [key for key, _ in forwards] == sorted(key for key, _ in forwards)


def test_every_bucket_of_the_range_is_there_also_where_nothing_happened() -> None:
    asked = query(NINE, NINE + 4 * HOUR, by="type")
    cells = [Cell("b", NINE + HOUR, 7), Cell("a", NINE + 3 * HOUR, 2)]
    assert dense(asked, cells) == {
        "a": [(NINE, 0), (NINE + HOUR, 0), (NINE + 2 * HOUR, 0), (NINE + 3 * HOUR, 2)],
        "b": [(NINE, 0), (NINE + HOUR, 7), (NINE + 2 * HOUR, 0), (NINE + 3 * HOUR, 0)],
    }


def test_without_a_dimension_there_is_one_series_even_of_nothing() -> None:
    assert dense(query(NINE, NINE + HOUR), []) == {ALL: [(NINE, 0)]}


def test_with_a_dimension_nothing_gives_no_series() -> None:
    assert dense(query(NINE, NINE + HOUR, by="type"), []) == {}


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


@given(st.data())
def test_the_sum_of_hours_is_the_sum_of_days(data: st.DataObject) -> None:
    start = floor(data.draw(times), HOUR)
    length = data.draw(st.integers(1, 24 * 10))
    counts = data.draw(st.dictionaries(st.integers(0, length - 1), st.integers(1, 1000)))
    hours = query(start, start + length * HOUR, "hour")
    days = query(start, start + length * HOUR, "day")
    per_day: dict[datetime, int] = {}
    for offset, count in counts.items():
        day = floor(start + offset * HOUR, DAY)
        per_day[day] = per_day.get(day, 0) + count
    in_hours = dense(hours, [Cell(ALL, start + offset * HOUR, count) for offset, count in counts.items()])[ALL]
    in_days = dense(days, [Cell(ALL, day, count) for day, count in per_day.items()])[ALL]
    assert len(in_hours) == hours.buckets == length
    assert len(in_days) == days.buckets
    for day, value in in_days:
        assert value == sum(count for hour, count in in_hours if floor(hour, DAY) == day)
    assert sum(value for _, value in in_hours) == sum(value for _, value in in_days) == sum(counts.values())
