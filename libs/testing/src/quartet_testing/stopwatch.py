"""The stopwatch: how long a wait takes on a machine that has other work to do."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

TICK = 0.02


@dataclass
class Stopwatch:
    """`seconds` between start and end, without those for which this process was not scheduled."""

    seconds: float = 0.0


@asynccontextmanager
async def stopwatch() -> AsyncIterator[Stopwatch]:
    """Measures its body; the result is set when the body ends.

    A sleep that takes longer than TICK was late because the process was busy or not scheduled. The processor time that
    it used meanwhile tells one from the other.
    """
    watch = Stopwatch()
    measuring = asyncio.create_task(_subtract_delays(watch))
    started = time.monotonic()
    try:
        yield watch
    finally:
        watch.seconds += time.monotonic() - started
        measuring.cancel()


async def _subtract_delays(watch: Stopwatch) -> None:
    while True:
        started, used = time.monotonic(), time.process_time()
        await asyncio.sleep(TICK)
        late = time.monotonic() - started - TICK
        watch.seconds -= max(0.0, late - (time.process_time() - used))
