"""Entries of LDIF (RFC 2849): folded lines, comments and base64, in constant memory."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from quartet_directory_formats.lines import Line, decode, read_lines
from quartet_directory_formats.records import MAX_RECORD_BYTES, MAX_VALUES, InvalidRecordError, Source

ATTRIBUTE = re.compile(rb"([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)((?:;[A-Za-z0-9-]+)*):(:|<)?[ ]*(.*)", re.DOTALL)
MAX_LINE_BYTES = 1024 * 1024


@dataclass
class Entry:
    """An entry: the number of its first line, and the values of its attributes, by their names in lower case."""

    number: int
    attributes: dict[str, list[bytes]] = field(default_factory=dict)
    error: InvalidRecordError | None = None

    def texts(self, name: str) -> list[str]:
        """The values of an attribute that are not empty. Raises InvalidRecordError."""
        return [decode(value) for value in self.attributes.get(name, ()) if value]

    def text(self, name: str) -> str | None:
        """The first value of an attribute. Raises InvalidRecordError."""
        return next(iter(self.texts(name)), None)


def read_entries(source: Source) -> Iterator[Entry]:
    """The entries of UTF-8 text; one that cannot be read has an `error`."""
    entry: Entry | None = None
    size = values = 0
    for number, content, failed in _logical_lines(read_lines(source, MAX_LINE_BYTES)):
        if not content and failed is None:
            if entry is not None:
                yield entry
            entry, size, values = None, 0, 0
            continue
        if entry is None:
            if failed is None and content.lower().startswith(b"version:"):
                continue
            entry = Entry(number)
        size += len(content)
        values += 1
        if entry.error is not None:
            continue
        try:
            _check(failed, size, values)
            _add(entry, content)
        except InvalidRecordError as error:
            entry.error = error
            entry.attributes.clear()
    if entry is not None:
        yield entry


def _check(failed: InvalidRecordError | None, size: int, values: int) -> None:
    if failed is not None:
        raise failed
    if size > MAX_RECORD_BYTES:
        raise InvalidRecordError(f"The entry has more than {MAX_RECORD_BYTES} bytes.")
    if values > MAX_VALUES:
        raise InvalidRecordError(f"The entry has more than {MAX_VALUES} values.")


def _logical_lines(lines: Iterator[Line]) -> Iterator[tuple[int, bytes, InvalidRecordError | None]]:
    """Lines without comments, joined with those that continue them: number, content (empty: a separator) and error."""
    pieces: list[bytes] = []
    number, size, cut = 0, 0, False
    for line in lines:
        content = line.content.removesuffix(b"\r")
        if content.startswith(b" ") and pieces:
            size += len(content)
            cut = cut or line.cut or size > MAX_LINE_BYTES
            if not cut:
                pieces.append(content[1:])
            continue
        if pieces:
            yield from _joined(number, pieces, cut)
        pieces, number, size, cut = [content], line.number, len(content), line.cut
    if pieces:
        yield from _joined(number, pieces, cut)


def _joined(number: int, pieces: list[bytes], cut: bool) -> Iterator[tuple[int, bytes, InvalidRecordError | None]]:
    if not pieces[0].startswith(b"#"):
        error = InvalidRecordError("The line is too long.", pieces[0]) if cut else None
        yield number, b"".join(pieces), error


def _add(entry: Entry, content: bytes) -> None:
    match = ATTRIBUTE.fullmatch(content)
    if match is None:
        raise InvalidRecordError("The line is not `attribute: value`.", content)
    name, options, form, value = match.groups()
    if form == b"<":
        raise InvalidRecordError("Values by URL are not read.", content)
    if form == b":":
        try:
            value = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidRecordError("The value is not valid base64.", content) from None
    if not options:  # values in other languages and forms are not imported
        entry.attributes.setdefault(name.decode("ascii").lower(), []).append(value)
