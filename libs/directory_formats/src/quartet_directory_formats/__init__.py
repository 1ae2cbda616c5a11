"""Reads and writes files of users and groups, in constant memory; imports no other Quartet package."""

from quartet_directory_formats.parse import FORMATS, parse
from quartet_directory_formats.records import FormatError, LineError, MemberReference, Options, Record, Result
from quartet_directory_formats.writers import EXPORT_FORMATS, Writer

__all__ = [
    "EXPORT_FORMATS",
    "FORMATS",
    "FormatError",
    "LineError",
    "MemberReference",
    "Options",
    "Record",
    "Result",
    "Writer",
    "parse",
]
