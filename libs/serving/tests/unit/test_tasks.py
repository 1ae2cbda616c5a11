"""Tasks: they are ended, also where a cancellation is lost."""

import asyncio
from contextlib import suppress

from quartet_serving.tasks import end_tasks


class LosesCancellations:
    """Takes the first cancellations for timeouts of its own, as a driver may; then it does not."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.running = asyncio.Event()

    async def __call__(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.losses == 0:
                raise
            self.losses -= 1
            raise TimeoutError from None


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
