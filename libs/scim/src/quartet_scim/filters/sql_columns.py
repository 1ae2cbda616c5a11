"""Columns and tables of attributes that are not in the jsonb document, or that are found faster there."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Kind(StrEnum):
    """The relation between the values of a column and of its attribute."""

    TEXT = "text"
    """The value itself, text or not. An attribute that is not caseExact is compared as lower(column)."""
    FOLDED = "folded"
    """The text without regard to case: `prepare(value)` for userName, else `fold(value)`."""
    UUID = "uuid"
    """An id, whose text is the attribute's value."""
    INSTANT = "instant"
    """A timestamptz, of which clients see the milliseconds (`render.timestamp`)."""


@dataclass(frozen=True, slots=True)
class Column:
    """expression: SQL that can stand before an operator: a column's name, or a call; never made from input.

    required: whether it is NOT NULL, so that a list in its order can go on from a value by one range of an index.
    indexed: whether an index finds the rows of a value, which then are few. unique: whether that is at most one row.
    """

    expression: str
    kind: Kind = Kind.TEXT
    required: bool = False
    indexed: bool = False
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """A multi-valued attribute whose elements are rows.

    source: what stands behind FROM, up to a WHERE that ties the rows to their resource, such as
    `members AS m WHERE m.group_id = g.id`. columns: the sub-attributes that can be filtered by, by name.
    """

    source: str
    columns: Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A table that finds candidates for `eq`, of texts without regard to case that lie in the document.

    source: what stands behind FROM, up to a WHERE that ties the rows to their resource. column: holds the first
    `characters` of `fold(value)` for each value of the attribute.
    """

    source: str
    column: str
    characters: int


Columns: TypeAlias = Mapping[str, Column | Rows | Lookup]
"""By the attribute's canonical name: `userName`, `meta.lastModified`, `members`, `emails.value`."""
