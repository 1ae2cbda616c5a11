"""CSV: fixed columns, named by their attribute paths; a large group has several rows."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from quartet_directory_formats.attribute_names import ENTERPRISE
from quartet_directory_formats.attribute_paths import parse_path
from quartet_directory_formats.csv_format import write_cell
from quartet_directory_formats.records import Kind
from quartet_directory_formats.references import join_references, write_reference

USER_PATHS = (
    "userName", "externalId", "active", "displayName", "name.formatted", "name.givenName", "name.familyName",
    "name.middleName", "name.honorificPrefix", "name.honorificSuffix", "nickName", "title", "userType", "profileUrl",
    "preferredLanguage", "locale", "timezone", "emails.value", 'emails[type eq "work"].value',
    'emails[type eq "home"].value', 'phoneNumbers[type eq "work"].value', 'phoneNumbers[type eq "mobile"].value',
    'phoneNumbers[type eq "home"].value', 'addresses[type eq "work"].streetAddress',
    'addresses[type eq "work"].locality', 'addresses[type eq "work"].region', 'addresses[type eq "work"].postalCode',
    'addresses[type eq "work"].country', f"{ENTERPRISE}:employeeNumber", f"{ENTERPRISE}:costCenter",
    f"{ENTERPRISE}:organization", f"{ENTERPRISE}:division", f"{ENTERPRISE}:department",
)  # fmt: skip
GROUP_PATHS = ("displayName", "externalId")
PATHS: dict[Kind, tuple[str, ...]] = {"user": USER_PATHS, "group": GROUP_PATHS}
LAST: dict[Kind, str] = {"user": "passwordHash", "group": "members"}
MAX_CELL = 100_000
"""Maximum characters of a cell with members: readers limit the size of a cell."""


class CsvWriter:
    """The attributes that have a column; NDJSON has all."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._paths = [parse_path(text) for text in PATHS[kind]]

    def head(self) -> bytes:
        """The header: `id`, the paths, and `passwordHash` of users or `members` of groups."""
        return _row(["id", *PATHS[self._kind], LAST[self._kind]])

    def record(self, resource: Mapping[str, Any], password_hash: str | None = None) -> bytes:
        """A row, or several for a group with many members."""
        document = dict(resource)
        cells = [str(document.get("id", "")), *(write_cell(path.get(document)) for path in self._paths)]
        if self._kind == "user":
            return _row([*cells, password_hash or ""])
        members = list(_cells(document.get("members") or ())) or [""]
        return b"".join(_row([*cells, write_cell(cell)]) for cell in members)

    def more_members(self, resource: Mapping[str, Any], /, members: Sequence[Mapping[str, Any]]) -> bytes:
        """Rows of the group with these members only."""
        return self.record({**resource, "members": members})


def _cells(members: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The members in cells of at most MAX_CELL characters."""
    texts = iter([join_references([write_reference(one)]) for one in members])
    while some := list(islice(texts, 1000)):
        cell = ""
        for text in some:
            if cell and len(cell) + len(text) >= MAX_CELL:
                yield cell
                cell = ""
            cell = f"{cell};{text}" if cell else text
        yield cell


def _row(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode("utf-8", "replace")
