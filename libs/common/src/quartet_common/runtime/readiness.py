"""Readiness: whether a process should get work, and the problems if not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.container import AppContainer

Check = Callable[[], Awaitable[bool]]
"""True if the server answers; may raise UnavailableError, whose problem is reported, instead of False."""

CHECK_TIMEOUT = 0.8


class Readiness:
    """Whether a process should get work: its checks succeed and it is not stopping."""

    def __init__(
        self,
        checks: dict[str, Check],
        stopping: asyncio.Event,
        details: Callable[[], Mapping[str, Mapping[str, str]]] | None = None,
    ) -> None:
        """`details`, by name, are reported if there are some, but no reason to take work away from the process:
        failures of logging by kind, paused consumers by queue.
        """
        self._checks = checks
        self._stopping = stopping
        self._details = details
        self._running: asyncio.Task[list[str | None]] | None = None

    async def report(self) -> tuple[dict[str, Any], int]:
        """The body and status of `ready`. Concurrent requests share one run of the checks."""
        body, status = await self._report()
        details = self._details() if self._details is not None else {}
        return {**body, **{name: dict(texts) for name, texts in details.items() if texts}}, status

    async def _report(self) -> tuple[dict[str, Any], int]:
        names = list(self._checks)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._check())
        problems = await asyncio.shield(self._running)
        reasons = {name: problem for name, problem in zip(names, problems, strict=True) if problem is not None}
        down = list(reasons)
        if self._stopping.is_set():
            return {"status": "stopping", "down": down, "reasons": reasons}, 503
        if down:
            return {"status": "not ready", "down": down, "reasons": reasons}, 503
        return {"status": "ready", "checked": names}, 200

    async def _check(self) -> list[str | None]:
        return await asyncio.gather(*(_problem(check) for check in self._checks.values()))


async def _problem(check: Check) -> str | None:
    try:
        return None if await asyncio.wait_for(check(), CHECK_TIMEOUT) else "is not ready"
    except UnavailableError as error:
        return error.problem
    except TimeoutError:
        return "does not answer"
    except RuntimeError:
        return "is not ready"


def database_check(container: AppContainer[ServiceConfig]) -> Check:
    """Whether PostgreSQL takes writes."""

    async def is_writable() -> bool:
        await container.database.watch.check_writable()
        return True

    return is_writable
