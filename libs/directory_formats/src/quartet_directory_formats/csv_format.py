"""CSV: the header says what the columns are; delimiter and encoding are detected."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from quartet_directory_formats.attribute_names import check_mapping, path_of, target_of
from quartet_directory_formats.attribute_paths import Path
from quartet_directory_formats.csv_rows import MAX_LINE_BYTES, Row, Rows
from quartet_directory_formats.lines import Line, Utf8Source, read_lines
from quartet_directory_formats.password_hashes import read_password_hash
from quartet_directory_formats.records import (
    Document,
    FormatError,
    InvalidRecordError,
    Kind,
    LineError,
    OpenFile,
    Options,
    Record,
    shown,
)
from quartet_directory_formats.references import reference_of_text, split_references
from quartet_directory_formats.resources import with_schemas

DELIMITERS = (",", ";", "\t", "|")
SEPARATOR_LINE = re.compile(rb"sep=(.)\r?", re.IGNORECASE)
"""A first line that Excel writes and reads."""
NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")
"""A cell that spreadsheets would take as a formula, with `'` before it."""
FORMULA = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True)
class Columns:
    """What the columns of a file are: a path, the name of a special target, or None for one that is ignored."""

    kind: Kind
    targets: list[Path | str | None]
    ignored: tuple[str, ...]

    @classmethod
    def of(cls, header: list[str], options: Options) -> "Columns":
        """The columns that a header names. Raises FormatError."""
        found: dict[str, str] = {}
        targets: list[Path | str | None] = []
        names = [name.strip() for name in header]
        for name in names:
            target = target_of(name, options.mapping)
            if target and target in found:
                raise FormatError(
                    f"The columns {shown(found[target])!r} and {shown(name)!r} are both {target}: map one of them to"
                    ' another attribute, or to "" to ignore it.'
                )
            if target:
                found[target] = name
            targets.append((path_of(target) or target) if target else None)
        _require_mapped(names, options.mapping)
        ignored = (name for name in names if name and target_of(name, options.mapping) is None)
        return cls(_kind(found, names, options.kind), targets, tuple(ignored))


class Item(NamedTuple):
    """A row with its columns; `is_first` is the row after the header."""

    number: int
    cells: list[str]
    columns: Columns
    is_first: bool


def read_items(open_file: OpenFile, options: Options) -> Iterator[Item | LineError]:
    """The rows below the header. Raises FormatError."""
    check_mapping(options.mapping)
    lines = read_lines(Utf8Source(open_file(), options.encoding), MAX_LINE_BYTES)
    first = next((line for line in lines if line.content.strip()), None)
    if first is None:
        raise FormatError("The file is empty.")
    delimiter = options.delimiter
    if match := SEPARATOR_LINE.fullmatch(first.content):
        delimiter, first = delimiter or match[1].decode("ascii", "replace"), next(lines, first)
    rows = iter(Rows(chain([first], lines), _checked(delimiter) or _delimiter(first, options)))
    header = next(rows, None)
    if not isinstance(header, Row):
        reason = header.reason if header else "It is empty."
        raise FormatError(f"The header in line {first.number} cannot be read. {reason}")
    columns = Columns.of(header.cells, options)
    is_first = True
    for row in rows:
        if isinstance(row, LineError):
            yield row
        else:
            yield Item(row.number, row.cells, columns, is_first)
            is_first = False


def convert(item: Item, _: Options) -> Record:
    """The record of a row. Raises InvalidRecordError."""
    columns = item.columns
    if len(item.cells) != len(columns.targets):
        raise InvalidRecordError(
            f"The row has {len(item.cells)} cells, but the header has {len(columns.targets)}.", " | ".join(item.cells)
        )
    resource: Document = {}
    special: dict[str, str] = {}
    for target, cell in zip(columns.targets, item.cells, strict=True):
        if not cell or target is None:
            continue
        text = read_cell(cell)
        if isinstance(target, Path):
            target.put(resource, text)
        else:
            special[target] = text
    password_hash, notes = read_password_hash(special.get("passwordHash"))
    if item.is_first and columns.ignored:
        notes = (f"Columns that are not imported: {', '.join(map(shown, columns.ignored))}.", *notes)
    is_group = columns.kind == "group"
    listed = split_references(special.get("members" if is_group else "groups", ""))
    references = tuple(reference_of_text(text, None if is_group else "group") for text in listed)
    return Record(
        item.number,
        columns.kind,
        with_schemas(resource, columns.kind),
        special.get("id"),
        password_hash,
        references if is_group else (),
        () if is_group else references,
        notes,
    )


def read_cell(cell: str) -> str:
    """The value of a cell, without the `'` of `write_cell`."""
    return cell[1:] if NEUTRALISED.match(cell) else cell


def write_cell(value: str) -> str:
    """A cell with `value`, which no spreadsheet takes as a formula."""
    return f"'{value}" if FORMULA.match(value) else value


def _kind(found: Mapping[str, str], header: list[str], given: Kind | None) -> Kind:
    required: dict[Kind, str] = {"user": "userName", "group": "displayName"}
    kinds = [given] if given else list(required)
    for kind in kinds:
        if required[kind] in found:
            return kind
    needed = " or ".join(required[kind] for kind in kinds)
    raise FormatError(
        f"No column is the {needed}. The header has: {shown(', '.join(header))}. Map one of them, for example"
        f" {shown(header[0] or 'column')}={required[kinds[0]]}."
    )


def _require_mapped(header: list[str], mapping: Mapping[str, str]) -> None:
    missing = [name for name in mapping if name not in header]
    if missing:
        raise FormatError(
            f"The mapping names the column {shown(missing[0])!r}, which is not in the header:"
            f" {shown(', '.join(header))}."
        )


def _checked(delimiter: str | None) -> str | None:
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\x00'):
        raise FormatError(f"The delimiter {shown(delimiter)!r} must be one character, as , or ;.")
    return delimiter


def _delimiter(header: Line, options: Options) -> str:
    """The delimiter by which the header has the most known columns, and then the most columns."""
    try:
        text = header.text()
    except InvalidRecordError as error:
        raise FormatError(f"The header in line {header.number} cannot be read. {error.reason}") from None

    def columns(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([text], delimiter=delimiter))
        except csv.Error:
            return 0, 0
        return sum(target_of(name.strip(), options.mapping) is not None for name in names), len(names)

    return max(DELIMITERS, key=columns)
