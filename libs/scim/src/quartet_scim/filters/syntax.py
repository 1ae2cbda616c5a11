"""The syntax tree of a filter, which the parser makes without schemas (RFC 7644 3.4.2.2)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | None"


class Operator(StrEnum):
    """The operator of a comparison; `pr` is a node of its own."""

    EQ = "eq"
    NE = "ne"
    CO = "co"
    SW = "sw"
    EW = "ew"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"


@dataclass(frozen=True, slots=True)
class Path:
    """An attribute as it was written: `userName`, `name.familyName`, `urn:...:User:name.familyName`.

    The URN is what stands before the last colon. Where the path is a schema's URN itself, its last part is therefore
    taken for the attribute; only the schemas can tell.
    """

    attribute: str
    sub: str | None = None
    urn: str | None = None

    def __str__(self) -> str:
        return (
            f"{'' if self.urn is None else f'{self.urn}:'}{self.attribute}{'' if self.sub is None else f'.{self.sub}'}"
        )


@dataclass(frozen=True, slots=True)
class Compare:
    """`path op value`."""

    path: Path
    op: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Present:
    """`path pr`."""

    path: Path


@dataclass(frozen=True, slots=True)
class ValuePath:
    """`path[filter]`: some one value of the attribute meets the filter, whose paths are its sub-attributes."""

    path: Path
    filter: "Filter"


@dataclass(frozen=True, slots=True)
class Not:
    """`not (filter)`."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class And:
    """`a and b and c`: two terms or more."""

    terms: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """`a or b or c`: two terms or more."""

    terms: "tuple[Filter, ...]"


Filter: TypeAlias = Compare | Present | ValuePath | Not | And | Or


@dataclass(frozen=True, slots=True)
class TargetPath:
    """The path of a PATCH operation (RFC 7644 3.5.2): `path`, `path[filter]` or `path[filter].sub`.

    `sub` is set with a filter only; without one, the sub-attribute is a part of `path`.
    """

    path: Path
    filter: Filter | None = None
    sub: str | None = None
