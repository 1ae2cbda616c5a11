"""Reads a bundle line by line in constant memory, from a file or a compressed one."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, cast

from quartet_audit_verifier.encoding import CutOffError, FormatError

MAX_LINE: Final = 16 * 1024 * 1024
"""Bytes of a line: an entry has far less, and a longer line would not fit into memory."""
BUFFER: Final = 1024 * 1024
GZIP_MAGIC: Final = b"\x1f\x8b"


class BundleFile:
    """A file with a bundle, compressed with gzip (RFC 1952) or not; use it as a context manager.

    `size` and `position()` are in bytes of the file.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file = path.open("rb")
        self.size = path.stat().st_size
        is_compressed = self._file.peek(2)[:2] == GZIP_MAGIC
        content = cast("io.RawIOBase", gzip.GzipFile(fileobj=self._file)) if is_compressed else None
        self._reader = io.BufferedReader(content, BUFFER) if content else self._file

    def __enter__(self) -> "BundleFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()
        self._file.close()

    def position(self) -> int:
        """How far the file was read."""
        return os.lseek(self._file.fileno(), 0, os.SEEK_CUR)

    def lines(self) -> Iterator[bytes]:
        """Its lines without their line ends. Raises FormatError where there is none, or where decompression fails."""
        try:
            yield from split_lines(self._reader)
        except EOFError:
            raise CutOffError("the compressed data is cut off") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise FormatError(f"the compressed data is damaged ({error})") from None


def split_lines(stream: BinaryIO | io.BufferedReader) -> Iterator[bytes]:
    """The lines of a stream without their line ends. Raises FormatError for a longer line, and for a cut last one."""
    while line := stream.readline(MAX_LINE + 1):
        if line[-1:] != b"\n":
            if len(line) > MAX_LINE:
                raise FormatError(f"it is longer than {MAX_LINE} bytes")
            raise CutOffError("it has no line end: it is cut off")
        yield line[:-1]
