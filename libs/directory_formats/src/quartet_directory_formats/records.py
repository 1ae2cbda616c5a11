"""What a file contains: records, errors of lines, references to members; and the options of reading."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

Kind = Literal["user", "group"]
Document = dict[str, Any]

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Maximum bytes of one record in any format; a group with more members has several records."""
MAX_VALUES = 400_000
"""Maximum values of one record: small ones take much more memory than bytes of the file."""
MAX_SHOWN = 200
"""Maximum characters of a value in a LineError."""


class Source(Protocol):
    """An open file; only `read` is used."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


OpenFile = Callable[[], Source]
"""Opens the file from its start; SCIM Bulk calls it twice."""


class FormatError(ValueError):
    """The whole file cannot be read, or an option is wrong; the text says why and what to do."""


class MemberReference(NamedTuple):
    """How a file names a member or a group. Those given are tried in the order of the fields; `kind` None is unknown.

    text: as written, for messages.
    """

    text: str
    kind: Kind | None = None
    id: str | None = None
    external_id: str | None = None
    user_name: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One user or group.

    line: the number of the line, from 1; in SCIM Bulk and Keycloak files the number of the element in its list.
    resource: SCIM JSON without id, meta, members, groups and passwordHash.
    members: of a group. groups: that a user is a member of. notes: what of the record cannot be imported.
    """

    line: int
    kind: Kind
    resource: Document = field(repr=False)
    id: str | None = None
    password_hash: str | None = field(default=None, repr=False)
    members: tuple[MemberReference, ...] = ()
    groups: tuple[MemberReference, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LineError:
    """A line that cannot be read; `ends`: the rest of the file cannot be read either."""

    line: int
    reason: str
    value: str = ""
    ends: bool = False


Result = Record | LineError


@dataclass(frozen=True)
class Options:
    """How to read a file.

    kind: what the rows of CSV are; None: the header decides. mapping: from columns of CSV to attribute paths, "" to
    ignore a column. delimiter: of CSV; None: detected. encoding: of NDJSON, CSV and LDIF; None: detected.
    """

    kind: Kind | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None


class InvalidRecordError(ValueError):
    """One record that cannot be read: the reason, and the value as it is shown."""

    def __init__(self, reason: str, value: object = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.value = shown(value)

    def at(self, line: int) -> LineError:
        """The error of the record at `line`."""
        return LineError(line, self.reason, self.value)


def shown(value: object) -> str:
    """`value` as it may be printed: at most MAX_SHOWN characters, others escaped."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    cut = text[:MAX_SHOWN]
    printable = cut if cut.isprintable() else "".join(one if one.isprintable() else escaped(one) for one in cut)
    return printable if len(printable) <= MAX_SHOWN and len(text) <= MAX_SHOWN else f"{printable[: MAX_SHOWN - 1]}…"


def escaped(character: str) -> str:
    """A character as an escape sequence of Python."""
    return character.encode("unicode_escape").decode("ascii")
