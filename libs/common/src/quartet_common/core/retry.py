"""Retry: how the services wait for their backing servers, and which HTTP calls may be repeated."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_SHARE = 16


async def connect_with_retry(
    connect: Callable[[], Awaitable[T]],
    name: str,
    max_attempts: int | None = 6,
    retry_interval: float = 10,
) -> T:
    """Call `connect` until it succeeds and return its result.

    `retry_interval` is the longest pause between two attempts, in seconds; pauses start at a sixteenth of it, double
    each time and carry jitter. `max_attempts` None means for ever. Raises SystemExit naming `name` when all failed.
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
