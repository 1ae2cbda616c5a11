"""Schedules: they go on, whatever happens in a turn."""

import asyncio
from collections.abc import Sequence

import pytest

from quartet_common.core.errors import UnavailableError
from quartet_common.core.schedule import Schedule, run_schedule
from quartet_serving.tasks import end_tasks
from quartet_testing.cancellation import LosesCancellations
from quartet_testing.conditions import eventually


class Action:
    """Raises what it is given, turn by turn, and notes when each turn began."""

    def __init__(self, errors: Sequence[Exception | None] = ()) -> None:
        self.errors = list(errors)
        self.turns: list[float] = []

    async def __call__(self) -> None:
        self.turns.append(asyncio.get_running_loop().time())
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


async def run(action: Action, interval: float, turns: int) -> None:
    """Run a schedule until there were so many turns."""
    task = asyncio.ensure_future(run_schedule(Schedule("test", interval, action)))

    async def done() -> bool:
        return len(action.turns) >= turns or task.done()

    try:
        await eventually(done, f"{turns} turns")
        assert not task.done()
    finally:
        task.cancel()


async def test_the_first_turn_is_at_the_start_and_the_next_after_the_interval() -> None:
    action = Action()
    started = asyncio.get_running_loop().time()
    await run(action, 0.1, 2)
    assert action.turns[0] - started < 0.1
    assert action.turns[1] - action.turns[0] >= 0.1


async def test_a_turn_that_fails_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    await run(Action([ValueError("a bug"), UnavailableError("postgresql"), None]), 0.001, 4)
    levels = [(record.levelname, record.__dict__["schedule"]) for record in caplog.records]
    assert levels == [("ERROR", "test"), ("WARNING", "test")]


async def test_a_cancelled_schedule_ends() -> None:
    task = asyncio.ensure_future(run_schedule(Schedule("test", 3600, Action())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_schedule_whose_action_loses_a_cancellation_is_ended_all_the_same() -> None:
    action = LosesCancellations(losses=2)
    task = asyncio.ensure_future(run_schedule(Schedule("test", 0, action)))
    await action.running.wait()
    await end_tasks([task])
    assert task.cancelled()
    assert action.losses == 0
