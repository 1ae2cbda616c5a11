"""Conditions: tests wait for something to be true, never for a time to pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 0.02
PATIENCE = 60.0
"""Seconds until a wait fails: long, since a loaded machine may be slow, and nothing waits longer than it has to."""


async def eventually(probe: Callable[[], Awaitable[T | None]], what: str, timeout: float = PATIENCE) -> T:
    """Call `probe` until it returns something true, and return that.

    An AssertionError inside the probe means "not yet". Raises AssertionError naming `what` after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            result = await probe()
            if result:
                return result
            last = result
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s; last seen: {last!r}")
        await asyncio.sleep(INTERVAL)
