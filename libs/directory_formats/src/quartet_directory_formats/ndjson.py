"""NDJSON: a SCIM resource on each line."""

from collections.abc import Iterator

import orjson

from quartet_directory_formats.lines import Line, Utf8Source, read_lines
from quartet_directory_formats.records import (
    MAX_RECORD_BYTES,
    MAX_VALUES,
    InvalidRecordError,
    OpenFile,
    Options,
    Record,
)
from quartet_directory_formats.resources import read_resource

BLANK = b" \t\r"


def read_items(open_file: OpenFile, options: Options) -> Iterator[Line]:
    """The lines that are not blank."""
    source = Utf8Source(open_file(), options.encoding)
    return (line for line in read_lines(source, MAX_RECORD_BYTES) if line.content.strip(BLANK))


def convert(line: Line, _: Options) -> Record:
    """The record of a line. Raises InvalidRecordError."""
    content = line.whole()
    if content.count(b",") + content.count(b"[") + content.count(b"{") > MAX_VALUES:
        raise InvalidRecordError(f"The record has more than {MAX_VALUES} values.", content)
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if not content.isascii():
            line.text()  # a clearer error for a wrong encoding
        raise InvalidRecordError(
            f"The line is not valid JSON: {error.msg} at character {error.pos + 1}.", content
        ) from None
    return read_resource(line.number, document)
