"""Writing: NDJSON, CSV and LDIF, one record after the other; `parse` reads what is written."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from quartet_directory_formats.csv_writer import CsvWriter
from quartet_directory_formats.ldif_writer import LdifWriter
from quartet_directory_formats.records import FormatError, Kind, shown


class FormatWriter(Protocol):
    """Writes the records of one kind in one format, as bytes."""

    def head(self) -> bytes:
        """What is written before the first record."""

    def record(self, resource: Mapping[str, Any], password_hash: str | None = None) -> bytes:
        """A user, or a group with its first members."""

    def more_members(self, resource: Mapping[str, Any], /, members: Sequence[Mapping[str, Any]]) -> bytes:
        """Further members of the group of the last record."""


class NdjsonWriter:
    """A SCIM resource on each line."""

    def __init__(self, _: Kind) -> None:
        """The lines say what they are."""

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def record(self, resource: Mapping[str, Any], password_hash: str | None = None) -> bytes:
        """The resource, with `passwordHash`."""
        hashed = {"passwordHash": password_hash} if password_hash else {}
        return orjson.dumps({**resource, **hashed}, option=orjson.OPT_APPEND_NEWLINE)

    def more_members(self, resource: Mapping[str, Any], /, members: Sequence[Mapping[str, Any]]) -> bytes:
        """The group again, with these members only."""
        return self.record({**resource, "members": members})


WRITERS: dict[str, Callable[[Kind], FormatWriter]] = {"ndjson": NdjsonWriter, "csv": CsvWriter, "ldif": LdifWriter}
EXPORT_FORMATS = tuple(WRITERS)
"""The formats that can be written."""


def Writer(format_name: str, kind: Kind) -> FormatWriter:  # noqa: N802  # it makes an object, as a class does
    """The writer of a format. Raises FormatError."""
    if format_name not in WRITERS:
        raise FormatError(f"The format {shown(format_name)!r} is not written. Use one of: {', '.join(EXPORT_FORMATS)}.")
    return WRITERS[format_name](kind)
