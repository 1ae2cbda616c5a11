"""The query string: what is read from it and what is refused."""

from datetime import UTC, datetime, timedelta

import pytest

from quartet_common.web.query_parameters import BadParameterError
from quartet_metrics.errors import TooManyPointsError
from quartet_metrics.metric_domain import MAX_POINTS, METRICS, STEPS
from quartet_metrics.metric_parameters import read_query

NOW = datetime(2026, 1, 31, 9, 20, tzinfo=UTC)


def test_without_a_range_it_is_the_24_hours_that_end_with_the_one_running() -> None:
    query = read_query({"metric": ["events"]}, NOW)
    assert (query.start, query.end) == (datetime(2026, 1, 30, 10, tzinfo=UTC), datetime(2026, 1, 31, 10, tzinfo=UTC))
    assert query.buckets == 24
    assert (query.metric, query.step, query.by) == (METRICS["events"], STEPS["hour"], "none")


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


@pytest.mark.parametrize(("text", "name"), [("hour", "hour"), ("PT1H", "hour"), ("day", "day"), ("P1D", "day")])
def test_a_step_has_a_name_and_an_iso_8601_duration(text: str, name: str) -> None:
    assert read_query({"metric": ["events"], "step": [text]}, NOW).step is STEPS[name]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "metric"),
        ({"metric": ["logins"]}, "metric"),
        ({"metric": [""]}, "metric"),
        ({"metric": ["events", "refusals"]}, "metric"),
        ({"metric": ["events"], "step": ["minute"]}, "step"),
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
    with pytest.raises(BadParameterError, match="events, refusals"):
        read_query({"metric": ["logins"]}, NOW)


def test_a_range_with_as_many_buckets_as_points_are_allowed_is_taken_and_one_more_is_not() -> None:
    most = {"metric": ["events"], "from": [(NOW - timedelta(hours=MAX_POINTS - 1)).isoformat()]}
    assert read_query(most, NOW).buckets == MAX_POINTS
    with pytest.raises(TooManyPointsError, match="step=day"):
        read_query({**most, "from": [(NOW - timedelta(hours=MAX_POINTS)).isoformat()]}, NOW)
    assert read_query({**most, "from": ["2020-01-01T00:00:00Z"], "step": ["day"]}, NOW).buckets == 2223
