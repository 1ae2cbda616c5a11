"""Measures how late the event loop of a process is: what blocks it delays all requests and events."""

import asyncio
import time

from opentelemetry import metrics

INTERVAL = 0.1
"""Seconds between two measurements."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class EventLoopDelay:
    """A timer that records how much later than asked for it ends; the timers of the loop are exact to a millisecond."""

    def __init__(self) -> None:
        self._delay = metrics.get_meter(__name__).create_histogram(
            "quartet.event_loop.delay",
            unit="s",
            description="how late a timer of the event loop is",
            explicit_bucket_boundaries_advisory=SECONDS,
        )

    async def measure(self) -> None:
        """Wait for INTERVAL, and record by how much it took longer."""
        started = time.perf_counter()
        await asyncio.sleep(INTERVAL)
        self._delay.record(max(0.0, time.perf_counter() - started - INTERVAL))
