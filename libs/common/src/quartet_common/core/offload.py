"""Large work: in a thread or in slices, so that other requests of the process go on."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

LARGE_BODY = 128 * 1024
"""Bytes of a body that are worth a thread: some milliseconds of work."""

SLICE = 10_000
"""Items of one statement: encoding them for the database takes some milliseconds."""


async def work_on(body: bytes, work: Callable[[bytes], T]) -> T:
    """`work(body)`, in a thread if the body is large, so that the event loop is not blocked."""
    return work(body) if len(body) < LARGE_BODY else await asyncio.to_thread(work, body)


def slices(items: Sequence[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """`items` in parts of at most `size`; none if there are none."""
    return (items[start : start + size] for start in range(0, len(items), size))
