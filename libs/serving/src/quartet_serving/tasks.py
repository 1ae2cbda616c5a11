"""Tasks: how one that runs on its own is ended, and how one waits for the first of several events."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

AGAIN = 0.25
"""Seconds after which a task that goes on although it was cancelled is cancelled once more."""


async def end_tasks(tasks: Collection["asyncio.Future[Any]"]) -> None:
    """Cancel `tasks` and wait until they have ended; what they raise is not raised here.

    Once is not enough for what runs until it is cancelled: a cancellation that meets the end of a timeout can come out
    as a TimeoutError (asyncio.wait_for in Python 3.11, and drivers that time their reads), and whatever goes on after
    an error then goes on.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)


async def wait_any(events: Sequence[asyncio.Event], timeout: float) -> None:
    """Wait until one of `events` is set, or for `timeout` seconds."""
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
