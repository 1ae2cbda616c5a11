"""Turns: who needs what another transaction holds waits for it without a connection, and tries again one at a time.

A wait inside PostgreSQL holds a connection of the pool, which is everybody's: a tenant whose own change takes long
would keep all others out.
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

PATIENCE = 5.0
"""Seconds that somebody waits for its turn and for what is held; then the answer is 503."""
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds between two tries, doubled each time."""


@dataclass(eq=False)
class _Queue:
    """Who waits for the same; `is_held` says whether the last one who tried has found it held."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_held: bool = True


class Turns:
    """The queues of a process; one is there as long as somebody waits in it."""

    def __init__(self) -> None:
        self._queues: WeakValueDictionary[str, _Queue] = WeakValueDictionary()

    async def run(self, what: str, command: Callable[[], Awaitable[T]]) -> T:
        """Carry out `command`, which raises HeldError where `what` is held and has then done nothing, until it is free.

        Raises HeldError (503) after PATIENCE.
        """
        ends = time.monotonic() + PATIENCE
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
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  # nosec B311  # nothing is secret here
            pause = min(2 * pause, LONGEST_PAUSE)
        try:
            found = await command()
        except HeldError:
            queue.is_held = True
            if time.monotonic() > ends:
                raise
        else:
            queue.is_held = False
            return found
