"""Reading a file: each format splits it into items, and converts each item into one record or error."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from quartet_directory_formats import csv_format, keycloak, ldif, ndjson, scim_bulk
from quartet_directory_formats.records import (
    FormatError,
    InvalidRecordError,
    LineError,
    OpenFile,
    Options,
    Record,
    Result,
    shown,
)


@dataclass(frozen=True)
class Reader:
    """A format. Each item has its `number` and gives one result; an item may be a LineError itself."""

    read_items: Callable[[OpenFile, Options], Iterator[Any]]
    convert: Callable[[Any, Options], Record]


READERS = {
    "ndjson": Reader(ndjson.read_items, ndjson.convert),
    "csv": Reader(csv_format.read_items, csv_format.convert),
    "ldif": Reader(ldif.read_items, ldif.convert),
    "scim-bulk": Reader(scim_bulk.read_items, scim_bulk.convert),
    "keycloak": Reader(keycloak.read_items, keycloak.convert),
}
FORMATS = tuple(READERS)
"""The formats that can be read."""
_DEFAULTS = Options()


def parse(format_name: str, open_file: OpenFile, options: Options = _DEFAULTS, skip: int = 0) -> Iterator[Result]:
    """The records and errors of a file, in its order, without the first `skip` ones.

    Every error of a record is a LineError, and the records after it are read. Raises FormatError, also at the first
    `next`, if nothing can be read.
    """
    if format_name not in READERS:
        raise FormatError(f"The format {shown(format_name)!r} is not known. Use one of: {', '.join(FORMATS)}.")
    reader = READERS[format_name]
    return _results(reader, open_file, options, skip)


def _results(reader: Reader, open_file: OpenFile, options: Options, skip: int) -> Iterator[Result]:
    for item in islice(reader.read_items(open_file, options), skip, None):
        if isinstance(item, LineError):
            yield item
            continue
        try:
            yield reader.convert(item, options)
        except InvalidRecordError as error:
            yield error.at(item.number)
