"""Retry: pauses between attempts to reach a server."""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_SHARE = 16
PAUSE, LONGEST_PAUSE = 0.2, 3.0
"""Seconds between a failure and the next attempt: after the first failure, and at most."""
QUIET = 10.0
"""Seconds without a failure after which pauses are short again."""


class Backoff:
    """The pauses after repeated failures: doubled each time, with jitter."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = float("-inf")
        self._longest = PAUSE

    def next(self) -> float:
        """The pause in seconds after a failure now."""
        now = self._now()
        self._longest = min(2 * self._longest, LONGEST_PAUSE) if now - self._last < QUIET else PAUSE
        self._last = now
        return random.uniform(self._longest / 2, self._longest)  # noqa: S311  # nosec B311  # no secret


async def connect_with_retry(
    connect: Callable[[], Awaitable[T]],
    name: str,
    max_attempts: int | None = 6,
    retry_interval: float = 10,
) -> T:
    """Call `connect` until it succeeds and return its result.

    `retry_interval` is the longest pause between two attempts, in seconds; pauses start at a sixteenth of it, double
    each time and have jitter. `max_attempts` None means without limit. Raises SystemExit naming `name` when all
    attempts failed.
    """
    attempt = 0

    async def once() -> T:
        nonlocal attempt
        attempt += 1
        try:
            result = await connect()
        except Exception as error:
            logger.warning(
                "connecting failed",
                extra={"server": name, "attempt": attempt, "of": max_attempts, "error": _brief(error)},
            )
            raise
        logger.info("connected", extra={"server": name, "attempt": attempt})
        return result

    first = retry_interval / FIRST_PAUSE_SHARE
    caller = stamina.AsyncRetryingCaller(
        attempts=max_attempts, timeout=None, wait_initial=first, wait_max=retry_interval, wait_jitter=first
    )
    try:
        return await caller.on(Exception)(once)
    except Exception as error:
        raise SystemExit(f"{name} could not be reached in {attempt} attempts: {_brief(error)}") from error


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
