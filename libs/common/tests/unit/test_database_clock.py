"""The database clock: corrections by responses of PostgreSQL."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from quartet_common.data.database_clock import DatabaseClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Machine:
    """A machine whose clock can be set, and whose oscillator counts seconds."""

    def __init__(self) -> None:
        self.time, self.seconds = NOON, 1000.0

    def clock(self) -> DatabaseClock:
        return DatabaseClock(lambda: self.time, lambda: self.seconds)

    def later(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.seconds += seconds


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_before_anything_is_told_it_is_the_machines_time_and_goes_on() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.later(7)
    assert clock() == NOON + seconds(7)


@pytest.mark.parametrize("wrong", [-30, 30, 0.01])
def test_what_is_told_is_taken_over_and_goes_on(wrong: float) -> None:
    machine = Machine()
    clock = machine.clock()
    clock.correct(NOON - seconds(wrong), took=0.0)
    machine.later(5)
    assert clock() == NOON + seconds(5 - wrong)


def test_an_answer_that_was_read_late_changes_nothing_that_may_be_right() -> None:
    clock = Machine().clock()
    clock.correct(NOON - seconds(2), took=3.0)
    assert clock() == NOON
    clock.correct(NOON - seconds(2), took=0.5)
    assert clock() == NOON - seconds(1.5)
    clock.correct(NOON, took=0.5)
    assert clock() == NOON


def test_a_machine_whose_clock_is_set_has_no_effect() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.time += timedelta(hours=1)
    assert clock() == NOON


def test_a_machine_that_is_far_away_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Machine().clock()
    with caplog.at_level(logging.WARNING):
        clock.correct(NOON + seconds(0.5), took=0)
        assert not caplog.records
        for _ in range(2):
            clock.correct(NOON + seconds(30), took=0)
    assert [record.__dict__["seconds"] for record in caplog.records] == [-30]
