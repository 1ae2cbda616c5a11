"""Parses the lines of entries quickly: in the compact form in which exports have them, without a JSON parser."""

import re
from typing import Final, NamedTuple

from quartet_audit_verifier.leaves import PARTS

_PART: Final = r'"{}":\{{"bytes":"([^"]*)","salt":"([^"]*)"\}}'
_FIRST, *_OTHERS = (_PART.format(name) for name in PARTS)
_LINE: Final = re.compile(
    (
        r'\{"sequence":(0|[1-9][0-9]{0,17}),"leaf":"([^"]*)","parts":\{'
        + _FIRST
        + "".join(f"(?:,{part})?" for part in _OTHERS)
        + r"\}\}"
    ).encode()
)


class EntryLine(NamedTuple):
    """A line of an entry, in base64; `parts` has for each of PARTS its bytes and its salt, None if it is not there."""

    sequence: int
    leaf: bytes
    parts: tuple[bytes | None, ...]


def parse_entry_line(line: bytes) -> EntryLine | None:
    """The entry in a line, if all its parts have bytes and salt; None for a line in any other form.

    A value with a backslash, which JSON would read in another way, is no base64.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    values = match.groups()
    return EntryLine(int(values[0]), values[1], values[2:])
