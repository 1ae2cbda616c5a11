"""Waves: what the relay may publish at once."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from quartet_common.messaging.relay import Row, waves

aggregates = st.lists(st.sampled_from("abcde"), max_size=40)


def rows(names: list[str] | str) -> list[Row]:
    return [Row(number, "default", "x", name, "t", UUID(int=number), None, b"") for number, name in enumerate(names)]


def test_the_nth_wave_holds_the_nth_event_of_each_aggregate() -> None:
    found = [[(row.aggregate, row.id) for row in wave] for wave in waves(rows("aabacb"))]
    assert found == [[("a", 0), ("b", 2), ("c", 4)], [("a", 1), ("b", 5)], [("a", 3)]]


def test_no_rows_are_no_waves() -> None:
    assert waves([]) == []


@given(aggregates)
def test_every_row_is_in_exactly_one_wave(names: list[str]) -> None:
    assert sorted(row.id for wave in waves(rows(names)) for row in wave) == list(range(len(names)))


@given(aggregates)
def test_a_wave_never_holds_two_events_of_one_aggregate(names: list[str]) -> None:
    for wave in waves(rows(names)):
        assert len({row.aggregate for row in wave}) == len(wave)


@given(aggregates)
def test_over_the_waves_each_aggregate_keeps_its_order(names: list[str]) -> None:
    order = [row for wave in waves(rows(names)) for row in wave]
    for name in set(names):
        ids = [row.id for row in order if row.aggregate == name]
        assert ids == sorted(ids)


@given(aggregates)
def test_there_are_as_many_waves_as_the_longest_aggregate_has_events(names: list[str]) -> None:
    assert len(waves(rows(names))) == max((names.count(name) for name in names), default=0)
