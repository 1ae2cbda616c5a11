"""Schedules: functions that a process repeats."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from opentelemetry.instrumentation.utils import suppress_instrumentation

from quartet_common.core.errors import ServiceError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """`action` runs at the start and then `interval` seconds after each end.

    `check` is part of the worker's readiness: True if the last run has done its work; it may raise UnavailableError,
    whose problem is reported, instead of False.
    """

    name: str
    interval: float
    action: Callable[[], Awaitable[None]]
    check: Callable[[], Awaitable[bool]] | None = None


async def run_schedule(schedule: Schedule) -> None:
    """Run `schedule` until cancelled. A failure is logged; the next run tries again."""
    while True:
        try:
            with suppress_instrumentation():  # no request caused it: it has no trace
                await schedule.action()
        except ServiceError as error:
            cause = f"{type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ is not None else ""
            logger.warning("a schedule failed", extra={"schedule": schedule.name, "error": str(error), "cause": cause})
        except Exception:
            logger.exception("a schedule failed", extra={"schedule": schedule.name})
        await asyncio.sleep(schedule.interval)
