"""Spools: bounded files on disk between a writer and a slower reader."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TypeVar

from quartet_common.core.errors import ServiceError

T = TypeVar("T")


class SpoolError(ServiceError):
    """503: a file in `folder` cannot be written; the code is `disk_full`, or `disk_unavailable` for other reasons."""

    def __init__(self, folder: Path, error: OSError) -> None:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        super().__init__(
            503,
            "disk_full" if is_full else "disk_unavailable",
            f"The export cannot be written to {folder} ({error.strerror}). Ask the operator to free disk space there, "
            "or to set QUARTET_EXPORT_DIR to another folder.",
            {"Retry-After": "60"},
        )


class Spool:
    """A temporary file of at most `limit` bytes, with one writer and one reader; use it as a context manager.

    `disk` is an executor with one thread: the file is closed after all reads and writes that began before, also those
    of cancelled tasks, so that none uses a closed and reused descriptor.
    """

    def __init__(self, folder: Path, limit: int, disk: Executor) -> None:
        """Raises SpoolError (503) if `folder` is not writable."""
        self._folder = folder
        with self._errors():
            self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # __exit__ closes it
        self._limit = limit
        self._disk = disk
        self._written = self._read = 0
        self._has_ended = False
        self._changed = asyncio.Condition()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disk.submit(self._file.close)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._written

    async def write(self, data: bytes) -> None:
        """Append `data`, of at most `limit` bytes; if the file is full, wait until all of it is read.

        Raises SpoolError (503) if the disk is full.
        """
        if self._written + len(data) > self._limit:
            async with self._changed:
                await self._changed.wait_for(lambda: self._read == self._written)
            await self._run(lambda: self._file.truncate(0))
            self._written = self._read = 0
        start = self._written
        await self._run(lambda: _write_all(self._file.fileno(), data, start))
        async with self._changed:
            self._written += len(data)
            self._changed.notify_all()

    async def end(self) -> None:
        """Mark the end of the data for the reader."""
        async with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    async def read(self, size: int) -> bytes:
        """The next bytes, at most `size`, as soon as there are any; empty at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._read < self._written or self._has_ended)
        start, length = self._read, min(size, self._written - self._read)
        data = await self._run(lambda: os.pread(self._file.fileno(), length, start))
        async with self._changed:
            self._read += len(data)
            self._changed.notify_all()
        return data

    async def _run(self, work: Callable[[], T]) -> T:
        with self._errors():
            return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(self._folder, error) from error


def _write_all(descriptor: int, data: bytes, start: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], start + done)
