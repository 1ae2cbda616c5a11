"""Hosts: connects to the first of several hosts that accepts a connection."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from quartet_serving.tasks import end_tasks

H = TypeVar("H")
T = TypeVar("T")


async def connect_to_first(
    hosts: Sequence[H],
    connect: Callable[[H], Awaitable[T]],
    discard: Callable[[T], Awaitable[object]],
    patience: float,
) -> T:
    """The first connection that `connect` makes to one of `hosts`, which are tried in their order. The next one is
    tried as soon as one has failed, or has not answered for `patience` seconds: a dead machine refuses nothing.

    Connections that are not needed are given to `discard`. If all fail, raises the error of a host that has answered,
    if there is one, else the last error.
    """
    if len(hosts) == 1:
        return await connect(hosts[0])
    waiting, failures = list(hosts), list[BaseException]()
    running: set[asyncio.Future[T]] = set()
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(connect(waiting.pop(0))))
            done, _ = await asyncio.wait(
                running, timeout=patience if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                running.discard(attempt)
                if error is None:
                    return attempt.result()
                failures.append(error)
    finally:
        await _discard_all(running, discard)
    raise next((error for error in failures if not isinstance(error, OSError)), failures[-1])


async def _discard_all(attempts: set["asyncio.Future[T]"], discard: Callable[[T], Awaitable[object]]) -> None:
    await end_tasks(attempts)
    for attempt in attempts:
        if not attempt.cancelled() and attempt.exception() is None:
            await discard(attempt.result())
