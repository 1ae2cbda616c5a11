"""Totals of deltas: each amount once, in any order that retries can cause."""

import random

import pytest

from quartet_metrics.ingest.delta_domain import MAX_PARTS, REMEMBERED, Stream, add
from quartet_metrics.ingest.point_domain import WHOLE, Part, Point, Reason, RefusedError

SECOND = 10**9
START = 1_770_000_000 * SECOND


def point(turn: int, amount: float = 1.0, **parts: float) -> Point:
    found = {Part("_bucket", "le", name): value for name, value in parts.items()} or {WHOLE: amount}
    time = START + turn * SECOND
    return Point("jobs_total", b"", time, found, start=time - SECOND)


def test_totals_grow_and_begin_with_a_zero_at_the_start_of_the_first_interval() -> None:
    stream = Stream()
    first = (START + SECOND) // 1_000_000
    assert add(stream, point(1, 3)) == [(WHOLE, first - 1000, 0.0), (WHOLE, first, 3.0)]
    assert add(stream, point(2, 4)) == [(WHOLE, first + 1000, 7.0)]


def test_a_repeated_point_adds_nothing_and_is_written_again() -> None:
    stream = Stream()
    before = add(stream, point(1, 3))
    assert add(stream, point(1, 3)) == before[1:]
    assert stream.totals == [(WHOLE, 3.0)]


def test_an_earlier_point_is_added_and_the_samples_still_ascend() -> None:
    stream = Stream()
    add(stream, point(2, 1))
    [sample] = add(stream, point(1, 5))
    assert sample == (WHOLE, (START + 2 * SECOND) // 1_000_000 + 1, 6.0)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_within_the_remembered_points_gives_the_same_total(seed: int) -> None:
    chance, stream, times = random.Random(seed), Stream(), []
    sent = [turn for turn in range(100) for _ in range(chance.randint(1, 3))]
    for block in range(0, len(sent), 8):
        some = sent[block : block + 8]
        chance.shuffle(some)
        for turn in some:
            times += [sample.time for sample in add(stream, point(turn, turn)) if sample.value]
    assert stream.totals == [(WHOLE, float(sum(range(100))))]
    assert times == sorted(times)


def test_a_point_older_than_all_remembered_ones_is_refused_and_changes_nothing() -> None:
    stream = Stream()
    for turn in range(1, REMEMBERED + 2):
        add(stream, point(turn))
    with pytest.raises(RefusedError) as refused:
        add(stream, point(0))
    assert refused.value.reason is Reason.OUT_OF_ORDER
    assert stream.totals == [(WHOLE, REMEMBERED + 1)]


def test_series_of_a_stream_that_a_point_does_not_have_keep_their_totals_and_are_written() -> None:
    stream = Stream()
    add(stream, point(1, a=1, b=2))
    written = add(stream, point(2, b=1, c=4))
    now, before = (START + 2 * SECOND) // 1_000_000, (START + SECOND) // 1_000_000
    named = {(part.value, time): value for part, time, value in written}
    assert named == {("c", before): 0.0, ("a", now): 1.0, ("b", now): 3.0, ("c", now): 4.0}


def test_a_stream_forgets_series_when_it_has_too_many() -> None:
    stream = Stream()
    add(stream, point(1, **{f"x{n}": 1.0 for n in range(MAX_PARTS)}))
    add(stream, point(2, y=1, x0=1))
    assert dict(stream.totals) == {Part("_bucket", "le", "x0"): 2.0, Part("_bucket", "le", "y"): 1.0}


def test_a_total_that_is_no_number_is_refused_and_changes_nothing() -> None:
    stream = Stream()
    add(stream, point(1, 1e308))
    with pytest.raises(RefusedError):
        add(stream, point(2, 1e308))
    assert stream.totals == [(WHOLE, 1e308)]
    assert len(stream.recent) == 1


def test_a_start_that_is_unknown_or_long_ago_is_a_second_before() -> None:
    for start in (0, START - 7200 * SECOND, START + SECOND):
        found = add(Stream(), Point("c", b"", START, {WHOLE: 1.0}, start=start))
        assert found[0].time == START // 1_000_000 - 1000
