"""Divides the check of a long bundle among processes, in chunks of lines, with constant memory."""

import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from typing import Final

from quartet_audit_verifier.encoding import FormatError
from quartet_audit_verifier.plain_entries import PlainEntry, check_plain

ALONE: Final = 20_000
"""Lines that are checked in this process first: fewer are not worth the start of others."""
CHUNK_LINES: Final = 256
CHUNK_BYTES: Final = 1024 * 1024
"""Bytes after which a chunk ends; a line has at most MAX_LINE."""
AHEAD: Final = 2
"""Chunks that each process has or will get next."""

Checked = tuple[bytes, PlainEntry | None]
"""A line, and what it says if it is that of a plain entry."""


def check_lines(lines: Iterator[bytes], tenant: str, processes: int | None = None) -> Iterator[Checked]:
    """Each line of a bundle of `tenant` with its check, in their order; by default with a process for each processor.

    What `lines` raises comes after the lines before it.
    """
    for line in islice(lines, ALONE):
        yield line, check_plain(line, tenant)
    count = _processors() if processes is None else processes
    first = next(lines, None) if count > 1 else None
    if first is not None:
        yield from _check_in_processes(chain((first,), lines), tenant, count)
    for line in lines:
        yield line, check_plain(line, tenant)


def _check_in_processes(lines: Iterator[bytes], tenant: str, count: int) -> Iterator[Checked]:
    errors: list[FormatError] = []
    chunks = _chunks(lines, errors)
    chunk = next(chunks, None)
    ignore_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # this process ends the others
    waiting: deque[tuple[Sequence[bytes], Future[list[PlainEntry | None]]]] = deque()
    with ProcessPoolExecutor(count, get_context("spawn"), ignore_interrupts) as pool:
        while chunk or waiting:
            while chunk and len(waiting) < AHEAD * count:
                waiting.append((chunk, pool.submit(_check_chunk, chunk, tenant)))
                chunk = next(chunks, None)
            sent, future = waiting.popleft()
            yield from zip(sent, future.result(), strict=True)
    if errors:
        raise errors[0]


def _chunks(lines: Iterator[bytes], errors: list[FormatError]) -> Iterator[list[bytes]]:
    """Lines in chunks; what ends them early is put into `errors`."""
    chunk: list[bytes] = []
    size = 0
    try:
        for line in lines:
            chunk.append(line)
            size += len(line)
            if len(chunk) == CHUNK_LINES or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    except FormatError as error:
        errors.append(error)
    if chunk:
        yield chunk


def _check_chunk(lines: Sequence[bytes], tenant: str) -> list[PlainEntry | None]:
    return [check_plain(line, tenant) for line in lines]


def _processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
