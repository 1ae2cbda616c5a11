"""Buckets of histograms: exact counts at every bound, whatever the scale of the sender."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_metrics.ingest.histogram_domain import (
    COUNT,
    INFINITY,
    MAX_BUCKETS,
    SUM,
    Buckets,
    exponential_components,
    histogram_components,
    number_text,
    summary_components,
)
from quartet_metrics.ingest.point_domain import Component, Reason, RefusedError

NONE = Buckets(0, [])


def test_buckets_with_bounds_are_cumulative() -> None:
    found = histogram_components(10, 4.5, [0.25, 1.0, 100.0], [1, 2, 3, 4])
    assert found == {
        COUNT: 10, SUM: 4.5, Component("_bucket", "le", "0.25"): 1, Component("_bucket", "le", "1"): 3,
        Component("_bucket", "le", "100"): 6, INFINITY: 10,
    }  # fmt: skip
    assert histogram_components(3, None, [], []) == {COUNT: 3, INFINITY: 3}


@pytest.mark.parametrize(
    ("bounds", "counts"),
    [([1.0, 2.0], [1, 2]), ([2.0, 1.0], [1, 1, 1]), ([1.0, 1.0], [1, 1, 1]), ([math.nan], [1, 2]), ([], [1] * 3000)],
)
def test_bounds_that_no_histogram_has_are_refused(bounds: list[float], counts: list[int]) -> None:
    with pytest.raises(RefusedError) as refused:
        histogram_components(3, None, bounds, counts)
    assert refused.value.reason is Reason.BAD_POINT


def edges(component: Component) -> tuple[float, float]:
    low, _, high = component.value.partition("...")
    return float(low), float(high)


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=50), st.integers(-3, 12))
def test_each_value_is_in_the_stored_range_that_holds_it(values: list[float], scale: int) -> None:
    counts: dict[int, int] = {}
    for value in values:
        index = math.ceil(math.log2(value) * 2**scale) - 1
        counts[index] = counts.get(index, 0) + 1
    first = min(counts)
    if max(counts) - first >= MAX_BUCKETS:
        return
    sent = Buckets(first, [counts.get(index, 0) for index in range(first, max(counts) + 1)])
    found = exponential_components(len(values), None, scale, (0, 0.0), sent, NONE)
    ranges = {edges(component): count for component, count in found.items() if component.label == "vmrange"}
    assert sum(ranges.values()) == len(values)
    for (low, high), count in ranges.items():
        inside = sum(low * (1 - 1e-9) < value <= high * (1 + 1e-9) for value in values)
        strictly = sum(low * (1 + 1e-9) < value <= high * (1 - 1e-9) for value in values)
        assert strictly <= count <= inside


def test_a_sender_that_changes_its_scale_keeps_the_ranges() -> None:
    fine = exponential_components(6, None, 4, (0, 0.0), Buckets(16, [1, 0, 2, 0, 0, 0, 0, 3]), NONE)
    coarse = exponential_components(6, None, 3, (0, 0.0), Buckets(8, [1, 2, 0, 3]), NONE)
    assert fine == coarse == {
        COUNT: 6, Component("_bucket", "vmrange", "2...2.378414230005442"): 3,
        Component("_bucket", "vmrange", "2.378414230005442...2.8284271247461903"): 3,
    }  # fmt: skip


def test_zero_and_negative_values_have_ranges() -> None:
    found = exponential_components(9, -1.0, 0, (4, 0.001), NONE, Buckets(1, [5]))
    assert found == {
        COUNT: 9, SUM: -1.0, Component("_bucket", "vmrange", "0...0.001"): 4,
        Component("_bucket", "vmrange", "-4...-2"): 5,
    }  # fmt: skip


def test_bounds_beyond_floats_are_zero_and_infinity() -> None:
    found = exponential_components(2, None, -10, (0, 0.0), Buckets(-2, [1, 0, 1, 1]), NONE)
    assert {edges(component) for component in found if component.label} == {
        (0.0, 2.0**-1024), (1.0, math.inf), (math.inf, math.inf),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "zero", "positive"),
    [(21, 0.0, NONE), (-11, 0.0, NONE), (0, -1.0, NONE), (0, math.nan, NONE), (0, 0.0, Buckets(0, [1] * 2001))],
)
def test_what_no_exponential_histogram_has_is_refused(scale: int, zero: float, positive: Buckets) -> None:
    with pytest.raises(RefusedError):
        exponential_components(1, None, scale, (0, zero), positive, NONE)


def test_a_summary_has_a_series_for_each_quantile() -> None:
    assert summary_components(2, 3.0, [(0.5, 1.0), (1.0, 2.0)]) == {
        COUNT: 2, SUM: 3, Component("", "quantile", "0.5"): 1, Component("", "quantile", "1"): 2,
    }  # fmt: skip
    with pytest.raises(RefusedError):
        summary_components(1, 1.0, [(0.5, 1.0)] * 2001)


@pytest.mark.parametrize(
    ("number", "text"), [(0.005, "0.005"), (10.0, "10"), (1e20, "1e+20"), (math.inf, "+Inf"), (-math.inf, "-Inf")]
)
def test_a_bound_is_written_as_prometheus_does(number: float, text: str) -> None:
    assert number_text(number) == text
