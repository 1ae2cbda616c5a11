"""Tasks: they are ended, also where a cancellation is lost."""

import asyncio
from contextlib import suppress

import pytest

from quartet_serving.tasks import end_tasks, run_until
from quartet_testing.cancellation import LosesCancellations


async def test_a_task_that_goes_on_after_a_lost_cancellation_is_ended_all_the_same() -> None:
    action = LosesCancellations(losses=2)

    async def repeat() -> None:
        while True:
            with suppress(TimeoutError):
                await action()

    task = asyncio.ensure_future(repeat())
    await action.running.wait()
    await end_tasks([task])
    assert task.cancelled()
    assert action.losses == 0


async def test_tasks_that_have_ended_and_none_at_all_are_no_matter() -> None:
    async def fail() -> None:
        raise ValueError

    ended = [asyncio.ensure_future(fail()), asyncio.ensure_future(asyncio.sleep(0))]
    await asyncio.wait(ended)
    await end_tasks(ended)
    await end_tasks([])


async def test_work_that_ends_first_gives_its_result_or_its_error() -> None:
    async def fail() -> None:
        raise ValueError("a bug")

    assert await run_until(asyncio.sleep(0, "result"), [asyncio.Event()], 60) == "result"
    with pytest.raises(ValueError, match="a bug"):
        await run_until(fail(), [asyncio.Event()])


async def test_work_is_cancelled_when_an_event_is_set_or_the_time_is_over() -> None:
    end, never = asyncio.Event(), asyncio.Event()
    end.set()
    assert await run_until(asyncio.sleep(3600, "result"), [never, end]) is None
    assert await run_until(asyncio.sleep(3600, "result"), [never], 0.01) is None


async def test_work_that_is_done_although_it_was_cancelled_gives_its_result() -> None:
    async def finish() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "result"

    end = asyncio.Event()
    end.set()
    assert await run_until(finish(), [end]) == "result"


async def test_work_that_is_cancelled_from_inside_is_no_end() -> None:
    async def as_a_driver_does() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_until(as_a_driver_does(), [asyncio.Event()], 60)
