"""Readiness: whether a process should get work, and what it lacks if not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from quartet_common.config import ServiceConfig
from quartet_common.container import AppContainer
from quartet_common.errors import UnavailableError

Check = Callable[[], Awaitable[bool]]
"""True when the thing answers; may raise UnavailableError instead of False."""

CHECK_TIMEOUT = 0.8


class Readiness:
    """Whether a process should get work: its checks answer and it is not stopping."""

    def __init__(self, checks: dict[str, Check], stopping: asyncio.Event) -> None:
        self._checks = checks
        self._stopping = stopping
        self._running: asyncio.Task[list[bool]] | None = None

    async def report(self) -> tuple[dict[str, Any], int]:
        """The body and status of `ready`. Requests at the same time share one run of the checks."""
        names = list(self._checks)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._check())
        results = await asyncio.shield(self._running)
        down = [name for name, good in zip(names, results, strict=True) if not good]
        if self._stopping.is_set():
            return {"status": "stopping", "down": down}, 503
        if down:
            return {"status": "not ready", "down": down}, 503
        return {"status": "ready", "checked": names}, 200

    async def _check(self) -> list[bool]:
        return await asyncio.gather(*(_passes(check) for check in self._checks.values()))


async def _passes(check: Check) -> bool:
    try:
        return await asyncio.wait_for(check(), CHECK_TIMEOUT)
    except (UnavailableError, TimeoutError, RuntimeError):
        return False


def database_check(container: AppContainer[ServiceConfig]) -> Check:
    """Whether PostgreSQL can be written to."""

    async def is_writable() -> bool:
        return await container.database.is_writable()

    return is_writable
