"""Rows of CSV: quoted cells over several lines, and a restart at the next line after a row that cannot be read."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from quartet_directory_formats.lines import Line
from quartet_directory_formats.records import InvalidRecordError, LineError

MAX_LINE_BYTES = MAX_ROW_BYTES = 1024 * 1024
REREAD_SHARE = 4
"""After a bad row its lines after the first are read again, as they may be good rows: in all at most so many times the
bytes of the file, which keeps the time linear."""


class Row(NamedTuple):
    """The cells of a row, and the number of its first line."""

    number: int
    cells: list[str]


class Rows:
    """Iterates over the rows of lines; a row that cannot be read is a LineError."""

    def __init__(self, lines: Iterator[Line], delimiter: str) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._again: deque[Line] = deque()
        self._used: list[Line] = []
        self._read = self._reread = 0

    def __iter__(self) -> Iterator[Row | LineError]:
        while (first := self._next_line()) is not None:
            if not first.content.strip():
                continue
            self._used = []
            try:
                cells = self._cells(first)
            except InvalidRecordError as error:
                yield self._failed(first, error)
            else:
                if any(cells):
                    yield Row(first.number, cells)

    def _cells(self, first: Line) -> list[str]:
        try:
            return next(csv.reader(self._texts(first), delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise InvalidRecordError(f"The row is not valid CSV: {error}.", first.content) from None

    def _texts(self, first: Line) -> Iterator[str]:
        """The texts of a line and those after it, as far as the row reaches."""
        size, line = 0, first
        while True:
            size += len(line.content)
            if size > MAX_ROW_BYTES:
                raise InvalidRecordError(f"The row has more than {MAX_ROW_BYTES} bytes.", first.content)
            text = line.text()
            if "\x00" in text:
                raise InvalidRecordError("A cell has a NUL character.", text)
            yield f"{text}\n"
            following = self._next_line()
            if following is None:
                return
            self._used.append(following)
            line = following

    def _failed(self, first: Line, error: InvalidRecordError) -> LineError:
        """The error of a row, whose lines after the first are read again."""
        size = sum(len(line.content) for line in self._used)
        if self._used and self._reread + size > REREAD_SHARE * self._read + MAX_ROW_BYTES:
            last = self._used[-1].number
            return LineError(first.number, f"{error.reason} The row ends at line {last}.", error.value)
        self._reread += size
        self._again.extendleft(reversed(self._used))
        return error.at(first.number)

    def _next_line(self) -> Line | None:
        if self._again:
            return self._again.popleft()
        line = next(self._lines, None)
        if line is not None:
            self._read += len(line.content) + 1
        return line
