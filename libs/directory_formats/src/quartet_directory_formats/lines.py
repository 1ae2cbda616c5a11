"""Lines of a file as UTF-8: encodings, byte order marks, and a limit to the bytes of a line."""

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from quartet_directory_formats.records import FormatError, InvalidRecordError, Source, shown

CHUNK = 64 * 1024
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
FALLBACK = "cp1252"
UTF16 = {"utf-16", "utf-16-le", "utf-16-be"}
ENCODINGS = {"utf-8", "iso8859-1", "iso8859-15", "cp1250", "cp1252", "ascii", *UTF16}
"""The names that `codecs.lookup` has for the encodings that are read."""
INVALID = b"\xff"
"""A byte that UTF-8 never has; it replaces bytes that cannot be decoded."""


class Line(NamedTuple):
    """A line without its line feed; of one that is too long only the beginning, with `cut` set."""

    number: int
    content: bytes
    cut: bool

    def text(self) -> str:
        """The text. Raises InvalidRecordError for a line that is too long or not in the encoding of the file."""
        return decode(self.whole())

    def whole(self) -> bytes:
        """The bytes. Raises InvalidRecordError for a line that is too long."""
        if self.cut:
            raise InvalidRecordError("The line is too long.", self.content)
        return self.content


def decode(content: bytes) -> str:
    """`content` as text. Raises InvalidRecordError."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRecordError(
            f"Byte {error.start + 1} is not valid in the encoding of the file. Give the right encoding.",
            content[max(0, error.start - 20) : error.start + 20],
        ) from None


class Utf8Source:
    """A file in any encoding, read as UTF-8 without a byte order mark.

    Without `encoding`, the byte order mark decides, then the first 64 kB: UTF-16 if every other byte is mostly NUL,
    UTF-8 if it is valid, cp1252 otherwise.
    """

    def __init__(self, source: Source, encoding: str | None) -> None:
        self._source = source
        self._first = source.read(CHUNK)
        while len(self._first) < len(codecs.BOM_UTF8) and (more := source.read(CHUNK)):
            self._first += more
        self.encoding = _known(encoding) if encoding else None
        for mark, marked in MARKS:
            if self._first.startswith(mark) and (self.encoding is None or marked.startswith(self.encoding)):
                self._first = self._first[len(mark) :]
                self.encoding = marked
                break
        self.encoding = self.encoding or _guess(self._first)
        if self.encoding == "utf-16":
            self.encoding = "utf-16-be" if _is_utf16(self._first, high=0) else "utf-16-le"
        handler = "surrogatepass" if self.encoding in UTF16 else "surrogateescape"
        self._decoder = None if self.encoding == "utf-8" else codecs.getincrementaldecoder(self.encoding)(handler)

    def read(self, size: int, /) -> bytes:
        """At least one byte of UTF-8 unless the file ends; what cannot be decoded becomes invalid UTF-8."""
        while True:
            content, self._first = self._first or self._source.read(size), b""
            if self._decoder is None:
                return content
            try:
                text = self._decoder.decode(content, final=not content)
            except UnicodeDecodeError:  # UTF-16 with half a character at its end
                self._decoder.reset()
                return INVALID
            if text or not content:
                return text.encode("utf-8", "surrogatepass")


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        name = ""
    if name not in ENCODINGS:
        raise FormatError(
            f"The encoding {shown(encoding)!r} is not known. Use utf-8, utf-16, latin-1, iso8859-15, cp1250 or cp1252."
        )
    return name


def _guess(start: bytes) -> str:
    if _is_utf16(start, high=1):
        return "utf-16-le"
    if _is_utf16(start, high=0):
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return FALLBACK
    return "utf-8"


def _is_utf16(start: bytes, high: int) -> bool:
    """Whether most characters have a NUL as their byte `high` (0 or 1), and few as the other: Latin text in UTF-16."""
    pairs = len(start) // 2
    return pairs > 0 and start[high::2].count(0) * 2 > pairs and start[1 - high :: 2].count(0) * 4 < pairs


def read_lines(source: Source, limit: int) -> Iterator[Line]:
    """The lines of UTF-8 text; keeps at most `limit` and CHUNK bytes. A carriage return stays at the end of a line."""
    pieces: list[bytes] = []
    size, number, cut = 0, 1, False
    while chunk := source.read(CHUNK):
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            whole = piece if not pieces else b"".join([*pieces, piece])
            too_long = cut or len(whole) > limit
            yield Line(number, whole[:CHUNK] if too_long else whole, too_long)
            pieces, size, number, cut = [], 0, number + 1, False
        if rest and not cut:
            pieces.append(rest)
            size += len(rest)
            if size > limit:
                pieces, cut = [b"".join(pieces)[:CHUNK]], True
    if pieces:
        yield Line(number, b"".join(pieces), cut)
