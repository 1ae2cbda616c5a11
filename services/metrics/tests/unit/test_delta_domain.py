"""Totals of deltas: each amount once, in any order that retries can cause."""

import random

import pytest

from quartet_metrics.ingest.delta_domain import MAX_COMPONENTS, REMEMBERED, DeltaTotals, add
from quartet_metrics.ingest.point_domain import WHOLE, Component, Point, Reason, RefusedError

SECOND = 10**9
START = 1_770_000_000 * SECOND


def point(turn: int, amount: float = 1.0, **components: float) -> Point:
    found = {Component("_bucket", "le", name): value for name, value in components.items()} or {WHOLE: amount}
    time = START + turn * SECOND
    return Point("jobs_total", b"", time, found, start=time - SECOND)


def test_totals_grow_and_begin_with_a_zero_at_the_start_of_the_first_interval() -> None:
    known = DeltaTotals()
    first = (START + SECOND) // 1_000_000
    assert add(known, point(1, 3)) == [(WHOLE, first - 1000, 0.0), (WHOLE, first, 3.0)]
    assert add(known, point(2, 4)) == [(WHOLE, first + 1000, 7.0)]


def test_a_repeated_point_adds_nothing_and_is_written_again() -> None:
    known = DeltaTotals()
    before = add(known, point(1, 3))
    assert add(known, point(1, 3)) == before[1:]
    assert known.totals == [(WHOLE, 3.0)]


def test_an_earlier_point_is_added_and_the_samples_still_ascend() -> None:
    known = DeltaTotals()
    add(known, point(2, 1))
    [sample] = add(known, point(1, 5))
    assert sample == (WHOLE, (START + 2 * SECOND) // 1_000_000 + 1, 6.0)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_within_the_remembered_points_gives_the_same_total(seed: int) -> None:
    chance, known, times = random.Random(seed), DeltaTotals(), []  # noqa: S311  # no secret depends on it
    sent = [turn for turn in range(100) for _ in range(chance.randint(1, 3))]
    for block in range(0, len(sent), 8):
        some = sent[block : block + 8]
        chance.shuffle(some)
        for turn in some:
            times += [sample.time for sample in add(known, point(turn, turn)) if sample.value]
    assert known.totals == [(WHOLE, float(sum(range(100))))]
    assert times == sorted(times)


def test_a_point_older_than_all_remembered_ones_is_refused_and_changes_nothing() -> None:
    known = DeltaTotals()
    for turn in range(1, REMEMBERED + 2):
        add(known, point(turn))
    with pytest.raises(RefusedError) as refused:
        add(known, point(0))
    assert refused.value.reason is Reason.OUT_OF_ORDER
    assert known.totals == [(WHOLE, REMEMBERED + 1)]


def test_series_of_a_stream_that_a_point_does_not_have_keep_their_totals_and_are_written() -> None:
    known = DeltaTotals()
    add(known, point(1, a=1, b=2))
    written = add(known, point(2, b=1, c=4))
    now, before = (START + 2 * SECOND) // 1_000_000, (START + SECOND) // 1_000_000
    named = {(component.value, time): value for component, time, value in written}
    assert named == {("c", before): 0.0, ("a", now): 1.0, ("b", now): 3.0, ("c", now): 4.0}


def test_a_stream_forgets_series_when_it_has_too_many() -> None:
    known = DeltaTotals()
    add(known, point(1, **{f"x{n}": 1.0 for n in range(MAX_COMPONENTS)}))
    add(known, point(2, y=1, x0=1))
    assert dict(known.totals) == {Component("_bucket", "le", "x0"): 2.0, Component("_bucket", "le", "y"): 1.0}


def test_a_total_that_is_no_number_is_refused_and_changes_nothing() -> None:
    known = DeltaTotals()
    add(known, point(1, 1e308))
    with pytest.raises(RefusedError):
        add(known, point(2, 1e308))
    assert known.totals == [(WHOLE, 1e308)]
    assert len(known.recent) == 1


def test_a_start_that_is_unknown_or_long_ago_is_a_second_before() -> None:
    for start in (0, START - 7200 * SECOND, START + SECOND):
        found = add(DeltaTotals(), Point("c", b"", START, {WHOLE: 1.0}, start=start))
        assert found[0].time == START // 1_000_000 - 1000


def test_a_point_is_known_by_its_time_although_points_came_in_another_order() -> None:
    known = DeltaTotals()
    for turn in (2, 1, *range(3, REMEMBERED + 2)):
        add(known, point(turn))
    add(known, point(2))
    assert known.totals == [(WHOLE, REMEMBERED + 1)]
