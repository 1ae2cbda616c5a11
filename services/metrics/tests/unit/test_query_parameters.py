"""The query string: what is read from it and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest

from quartet_common.web.query_parameters import BadParameterError
from quartet_metrics.queries import query_parameters
from quartet_metrics.queries.query_domain import DAY, MAX_POINTS, STEPS, Kept, Query, TooManyPointsError
from quartet_metrics.series.catalog_domain import ALIASES

NOW = datetime(2026, 1, 31, 9, 20, tzinfo=UTC)
KEPT = Kept.at(NOW, 7, 400)


def read_query(parameters: dict[str, list[str]], now: datetime, kept: Kept = KEPT) -> Query:
    return query_parameters.read_query(parameters, now, kept)


def test_without_a_range_it_is_the_24_hours_that_end_with_the_one_running() -> None:
    query = read_query({"metric": ["events"]}, NOW)
    assert (query.start, query.end) == (datetime(2026, 1, 30, 10, tzinfo=UTC), datetime(2026, 1, 31, 10, tzinfo=UTC))
    assert query.buckets == 24
    assert (query.alias, query.step, query.by) == (ALIASES["events"], STEPS["hour"], "none")


def test_a_range_is_widened_to_the_hours_that_it_touches() -> None:
    query = read_query(
        {"metric": ["events"], "from": ["2026-01-31T05:59:59.5Z"], "to": ["2026-01-31T07:00:00.000001Z"]}, NOW
    )
    assert (query.start.hour, query.end.hour) == (5, 8)


def test_times_of_other_zones_are_the_same_moments() -> None:
    query = read_query(
        {"metric": ["events"], "from": ["2026-01-31T05:30:00+05:30"], "to": ["2026-01-31T01:00:00-01:00"]}, NOW
    )
    assert (query.start, query.end) == (datetime(2026, 1, 31, 0, tzinfo=UTC), datetime(2026, 1, 31, 2, tzinfo=UTC))


def test_from_alone_reaches_until_now_and_to_alone_starts_24_hours_before_it() -> None:
    since = read_query({"metric": ["events"], "from": ["2026-01-31T08:00:00Z"]}, NOW)
    until = read_query({"metric": ["events"], "to": ["2026-01-30T08:00:00Z"]}, NOW)
    assert (since.start.hour, since.end.hour) == (8, 10)
    assert until.end - until.start == timedelta(hours=24)


@pytest.mark.parametrize(
    ("text", "name"), [("hour", "hour"), ("PT1H", "hour"), ("PT1M", "minute"), ("P7D", "week"), ("P1M", "month")]
)
def test_a_step_has_a_name_and_an_iso_8601_duration(text: str, name: str) -> None:
    assert read_query({"metric": ["events"], "step": [text]}, NOW).step is STEPS[name]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "metric"),
        ({"metric": ["logins"]}, "metric"),
        ({"metric": [""]}, "metric"),
        ({"metric": ["events", "refusals"]}, "metric"),
        ({"metric": ["events"], "step": ["second"]}, "step"),
        ({"metric": ["quartet_daily_active_users"], "step": ["hour"]}, "step"),
        ({"metric": ["quartet_daily_active_users"], "tz": ["Europe/Berlin"]}, "tz"),
        ({"metric": ["quartet_groups"], "by": ["type"]}, "by"),
        ({"metric": ["events"], "tz": [""]}, "tz"),
        ({"metric": ["events"], "tz": ["Europe"]}, "tz"),
        ({"metric": ["events"], "tz": ["CEST"]}, "tz"),
        ({"metric": ["events"], "tz": ["../../etc/passwd"]}, "tz"),
        ({"metric": ["events"], "tz": ["/etc/localtime"]}, "tz"),
        ({"metric": ["events"], "tz": ["\udcff"]}, "tz"),
        ({"metric": ["events"], "tz": ["x" * 1000]}, "tz"),
        ({"metric": ["events"], "tz": ["Asia/Kolkata"], "step": ["day"], "from": ["2026-01-23T23:00:00Z"]}, "from"),
        ({"metric": ["events"], "tz": ["Europe/Berlin"], "step": ["day"], "from": ["2024-12-26T23:00:00Z"]}, "from"),
        ({"metric": ["events"], "from": ["2024-12-26T23:00:00Z"]}, "from"),
        (
            {
                "metric": ["events"],
                "step": ["minute"],
                "from": ["2026-01-23T23:59:00Z"],
                "to": ["2026-01-24T01:00:00Z"],
            },
            "from",
        ),
        ({"metric": ["events"], "step": ["pt1h"]}, "step"),
        ({"metric": ["events"], "by": ["actor"]}, "by"),
        ({"metric": ["events"], "by": ["type,outcome"]}, "by"),
        ({"metric": ["events"], "since": ["2026-01-31T08:00:00Z"]}, "since"),
        ({"metric": ["events"], "from": [""]}, "from"),
        ({"metric": ["events"], "from": ["yesterday"]}, "from"),
        ({"metric": ["events"], "from": ["1769846400"]}, "from"),
        ({"metric": ["events"], "from": ["2026-01-31"]}, "from"),
        ({"metric": ["events"], "from": ["20260131T080000Z"]}, "from"),
        ({"metric": ["events"], "from": ["2026-01-31T08:00:00"]}, "from"),
        ({"metric": ["events"], "from": ["2026-01-31T08:00:00 01:00"]}, "from"),
        ({"metric": ["events"], "from": ["2026-02-30T08:00:00Z"]}, "from"),
        ({"metric": ["events"], "from": ["0001-01-01T00:00:00+14:00"]}, "from"),
        ({"metric": ["events"], "to": ["2026-01-31T08:00:00"]}, "to"),
        ({"metric": ["events"], "to": ["9999-12-31T23:59:59Z"]}, "to"),
        ({"metric": ["events"], "to": ["0001-01-01T00:00:00Z"]}, "to"),
        ({"metric": ["events"], "from": ["2026-01-31T11:00:00Z"]}, "from"),
        ({"metric": ["events"], "from": ["2026-01-31T08:00:00Z"], "to": ["2026-01-31T08:00:00Z"]}, "from"),
    ],
)
def test_nonsense_is_refused_and_the_parameter_named(parameters: dict[str, list[str]], name: str) -> None:
    with pytest.raises(BadParameterError) as refused:
        read_query(parameters, NOW)
    assert refused.value.status == 400
    assert refused.value.detail.startswith(f"{name} ")


def test_an_unknown_metric_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadParameterError, match="events, refusals, quartet_events_total"):
        read_query({"metric": ["logins"]}, NOW)


def test_a_range_with_as_many_buckets_as_points_are_allowed_is_taken_and_one_more_is_not() -> None:
    kept = Kept.at(NOW, 7, 4000)
    most = {"metric": ["events"], "from": [(NOW - timedelta(hours=MAX_POINTS - 1)).isoformat()]}
    assert read_query(most, NOW, kept).buckets == MAX_POINTS
    with pytest.raises(TooManyPointsError, match="step=day"):
        read_query({**most, "from": [(NOW - timedelta(hours=MAX_POINTS)).isoformat()]}, NOW, kept)
    assert read_query({**most, "from": ["2020-01-01T00:00:00Z"], "step": ["day"]}, NOW).buckets == 2223


def test_each_step_has_a_range_of_its_own_by_default() -> None:
    lengths = {"minute": 60, "hour": 24, "day": 2, "week": 5, "month": 13}
    for step, buckets in lengths.items():
        assert read_query({"metric": ["events"], "step": [step]}, NOW).buckets == buckets
    assert read_query({"metric": ["quartet_monthly_active_users"]}, NOW).buckets == 31


def test_a_minute_query_is_widened_to_minutes_only() -> None:
    sent = {
        "metric": ["events"],
        "step": ["minute"],
        "from": ["2026-01-31T05:59:59.5Z"],
        "to": ["2026-01-31T06:01:01Z"],
    }
    query = read_query(sent, NOW)
    assert (query.start.isoformat(), query.end.isoformat()) == (
        "2026-01-31T05:59:00+00:00",
        "2026-01-31T06:02:00+00:00",
    )


def test_days_whose_hours_are_not_kept_count_as_a_whole() -> None:
    query = read_query(
        {"metric": ["events"], "step": ["month"], "from": ["2020-05-05T05:00:00Z"], "to": ["2020-06-06T06:00:00Z"]}, NOW
    )
    assert (query.start, query.end) == (datetime(2020, 5, 5, tzinfo=UTC), datetime(2020, 6, 7, tzinfo=UTC))
    assert [segment.step for segment in query.segments()] == ["day"]
    with pytest.raises(BadParameterError, match=r"from must not be before 2024-12-27T00:00:00Z, .* tz=UTC"):
        read_query({"metric": ["events"], "from": [(KEPT.hours_from - DAY).isoformat()]}, NOW)
