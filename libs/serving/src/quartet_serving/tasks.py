"""Tasks: how to end background tasks, and how to wait for the first of several events."""

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN = 0.25
"""Seconds after which a task that ignored a cancellation is cancelled again."""


async def end_tasks(tasks: Collection["asyncio.Future[Any]"]) -> None:
    """Cancel `tasks` and wait until they have ended; does not raise their errors.

    One cancellation is not always enough: if it meets the end of a timeout it can become a TimeoutError
    (asyncio.wait_for in Python 3.11, and drivers that time their reads), and code that handles errors then goes on.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)


async def run_until(
    work: Coroutine[Any, Any, T], ends: Sequence[asyncio.Event], timeout: float | None = None
) -> T | None:
    """The result of `work`; None, with `work` cancelled, if one of `ends` is set or `timeout` seconds pass before."""
    main = asyncio.ensure_future(work)
    waits = [asyncio.ensure_future(end.wait()) for end in ends]
    try:
        done, _ = await asyncio.wait([main, *waits], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if main in done:
            return main.result()  # drivers also end with CancelledError, which must not look like the end of a wait
        await end_tasks([main])
        return None if main.cancelled() else main.result()
    finally:
        for task in (main, *waits):
            task.cancel()


async def wait_any(events: Sequence[asyncio.Event], timeout: float) -> None:
    """Wait until one of `events` is set, or for `timeout` seconds."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
