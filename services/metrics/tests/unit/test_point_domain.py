"""Points: names and labels that senders may use, and the bytes that the engine reads."""

import struct

import pytest

from quartet_metrics.ingest.point_domain import (
    FUTURE,
    MAX_LABELS,
    MAX_SIZE,
    PAST,
    STALE,
    WHOLE,
    Collected,
    Component,
    Point,
    Reason,
    RefusedError,
    TooManySamplesError,
    Writing,
    check_name,
    check_time,
    labels_bytes,
    within_limit,
)
from quartet_metrics.ingest.remote_write_points import WriteRequest


def test_a_write_request_has_all_labels_the_tenant_and_exact_values() -> None:
    writing, labels = Writing("acme"), labels_bytes({"b": "ü" * 100, "a": "1", "empty": ""})
    values = [0.1, -1e308, STALE, float("inf")]
    for at, value in enumerate(values, 1_770_000_000_000):
        writing.add(Point("m", labels, 0, {}), Component("_bucket", "le", "0.5"), at, value)
    writing.add(Point("n", b"", 0, {}), WHOLE, 1, 2.0)
    request = WriteRequest.FromString(writing.body())
    found = [({one.name: one.value for one in series.labels}, series.samples) for series in request.timeseries]
    assert len(writing) == len(found) == 5
    own = {"__name__": "m_bucket", "a": "1", "b": "ü" * 100, "le": "0.5", "tenant": "acme"}
    for (given, samples), at, value in zip(found, range(1_770_000_000_000, 1_770_000_000_004), values, strict=False):
        assert given == own
        assert [sample.timestamp for sample in samples] == [at]
        assert struct.pack("<d", samples[0].value) == struct.pack("<d", value)
    assert found[4][0] == {"__name__": "n", "tenant": "acme"}
    assert [len(series.labels) for series in request.timeseries] == [5, 5, 5, 5, 2]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", Reason.BAD_NAME), ("1a", Reason.BAD_NAME), ("a-b", Reason.BAD_NAME), ("a\n", Reason.BAD_NAME),
        ("ä", Reason.BAD_NAME), ("quartet_users", Reason.RESERVED_NAME), ("a" * 201, Reason.TOO_LONG),
    ],
)  # fmt: skip
def test_a_name_that_may_not_be_used_is_refused_with_the_reason(name: str, reason: Reason) -> None:
    with pytest.raises(RefusedError) as refused:
        check_name(name)
    assert refused.value.reason is reason
    assert check_name("a:b_C1") == "a:b_C1"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"tenant": "other"}, Reason.RESERVED_LABEL), ({"__name__": "x"}, Reason.RESERVED_LABEL),
        ({"a.b": "x"}, Reason.BAD_LABEL), ({"": "x"}, Reason.BAD_LABEL), ({"1": "x"}, Reason.BAD_LABEL),
        ({"a": "ü" * 513}, Reason.TOO_LONG), ({"a" * 201: "x"}, Reason.TOO_LONG),
        ({f"l{n}": "x" for n in range(MAX_LABELS + 1)}, Reason.TOO_MANY_LABELS),
    ],
)  # fmt: skip
def test_labels_that_may_not_be_used_are_refused_with_the_reason(labels: dict[str, str], reason: Reason) -> None:
    with pytest.raises(RefusedError) as refused:
        labels_bytes(labels)
    assert refused.value.reason is reason


def test_series_are_the_same_for_any_order_of_labels_and_differ_by_any_part() -> None:
    one = Point("m", labels_bytes({"a": "1", "b": "2"}), 1, {WHOLE: 1.0, Component("_sum"): 1.0})
    same = Point("m", labels_bytes({"b": "2", "a": "1"}), 2, {WHOLE: 5.0})
    others = [Point("m", labels_bytes({"a": "12"}), 1, {WHOLE: 1.0}), Point("ma", b"", 1, {WHOLE: 1.0})]
    assert one.series_keys[0] == one.key == same.key
    assert len({*one.series_keys, *(other.key for other in others)}) == 4


def test_times_far_from_now_are_refused() -> None:
    now = 1_770_000_000_000
    check_time(now + FUTURE, now)
    check_time(now - PAST, now)
    for time, reason in ((now + FUTURE + 1, Reason.IN_FUTURE), (now - PAST - 1, Reason.TOO_OLD)):
        with pytest.raises(RefusedError) as refused:
            check_time(time, now)
        assert refused.value.reason is reason


def test_a_point_with_a_series_beyond_the_limit_is_refused_whole() -> None:
    found = Collected()
    points = [Point(name, b"", 1, {WHOLE: 1.0, Component("_sum"): 1.0}) for name in "abc"]
    assert within_limit(points, {points[1].series_keys[1]}, 7, found.refused) == [points[0], points[2]]
    assert found.refused.counts == {Reason.SERIES_LIMIT: 1}
    assert "had 7 series in this hour" in found.refused.text()


def test_a_request_has_a_largest_size_of_taken_and_of_refused_points() -> None:
    found, point = Collected(), Point("a", b"x" * 10_000, 1, {WHOLE: 1.0})
    for _ in range(MAX_SIZE // 10_250):
        found.add(point)
    with pytest.raises(TooManySamplesError):
        found.add(point)
    with pytest.raises(TooManySamplesError):
        Collected().refuse(RefusedError(Reason.TOO_OLD, "x"), MAX_SIZE)
