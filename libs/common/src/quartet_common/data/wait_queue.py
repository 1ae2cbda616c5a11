"""Wait queues: commands that need a lock of another transaction wait without a connection, and retry one at a time.

A wait inside PostgreSQL would occupy a connection of the pool: a tenant with one long change would block all others.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakValueDictionary

from quartet_common.core.errors import HeldError

T = TypeVar("T")

WAIT_TIMEOUT = 5.0
"""Seconds that a command waits for its turn and for the lock; then the answer is 503."""
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds between two attempts, doubled each time."""


@dataclass(eq=False)
class _Queue:
    """The commands that wait for one lock; `is_held` is the result of the last attempt."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_held: bool = True


class WaitQueues:
    """The queues of a process; one exists as long as a command waits in it."""

    def __init__(self) -> None:
        self._queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    async def run(self, what: str, command: Callable[[], Awaitable[T]]) -> T:
        """Run `command` until `what` is free. It raises HeldError, without effects, while `what` is held.

        Raises HeldError (503) after WAIT_TIMEOUT.
        """
        ends = time.monotonic() + WAIT_TIMEOUT
        queue = self._queues.get(what)
        if queue is None or not queue.is_held:
            try:
                return await command()
            except HeldError:
                queue = self._queues.get(what)
        if queue is None:
            self._queues[what] = queue = _Queue()
        try:
            async with asyncio.timeout(ends - time.monotonic()):
                await queue.turn.acquire()
        except TimeoutError:
            raise HeldError("postgresql") from None
        try:
            return await _try(queue, command, ends)
        finally:
            queue.turn.release()


async def _try(queue: _Queue, command: Callable[[], Awaitable[T]], ends: float) -> T:
    pause = FIRST_PAUSE
    while True:
        if queue.is_held:
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  # nosec B311  # no secret
            pause = min(2 * pause, LONGEST_PAUSE)
        try:
            result = await command()
        except HeldError:
            queue.is_held = True
            if time.monotonic() > ends:
                raise
        else:
            queue.is_held = False
            return result
