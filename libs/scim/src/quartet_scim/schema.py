"""Schemas, attributes and resource types (RFC 7643), read from the documents in schemas/."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

import orjson


class Type(StrEnum):
    """Data types (RFC 7643 2.3)."""

    STRING = "string"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    INTEGER = "integer"
    DATE_TIME = "dateTime"
    BINARY = "binary"
    REFERENCE = "reference"
    COMPLEX = "complex"


class Mutability(StrEnum):
    """When a value may be written (RFC 7643 7)."""

    READ_ONLY = "readOnly"
    READ_WRITE = "readWrite"
    IMMUTABLE = "immutable"
    WRITE_ONLY = "writeOnly"


class Returned(StrEnum):
    """When a value is part of an answer (RFC 7643 7)."""

    ALWAYS = "always"
    NEVER = "never"
    DEFAULT = "default"
    REQUEST = "request"


class Uniqueness(StrEnum):
    """How far a value is unique (RFC 7643 7)."""

    NONE = "none"
    SERVER = "server"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute with its characteristics (RFC 7643 2.2 and 7); the defaults are those of the RFC."""

    name: str
    type: Type = Type.STRING
    description: str = ""
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: Mutability = Mutability.READ_WRITE
    returned: Returned = Returned.DEFAULT
    uniqueness: Uniqueness = Uniqueness.NONE
    canonical_values: tuple[str, ...] = ()
    reference_types: tuple[str, ...] = ()
    sub_attributes: tuple["Attribute", ...] = ()

    def __post_init__(self) -> None:
        # binary values and references are always case exact (RFC 7643 2.3.6, 2.3.7)
        object.__setattr__(self, "case_exact", self.case_exact or self.type in (Type.BINARY, Type.REFERENCE))

    @property
    def is_secret(self) -> bool:
        """Whether its values are never returned, and so not part of the stored document."""
        return self.returned is Returned.NEVER or self.mutability is Mutability.WRITE_ONLY

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Attribute":
        """The attribute of a schema document. Raises KeyError or ValueError for an invalid one."""
        return cls(
            name=document["name"],
            type=Type(document.get("type", "string")),
            description=document.get("description", ""),
            multi_valued=document.get("multiValued", False),
            required=document.get("required", False),
            case_exact=document.get("caseExact", False),
            mutability=Mutability(document.get("mutability", "readWrite")),
            returned=Returned(document.get("returned", "default")),
            uniqueness=Uniqueness(document.get("uniqueness", "none")),
            canonical_values=tuple(document.get("canonicalValues", ())),
            reference_types=tuple(document.get("referenceTypes", ())),
            sub_attributes=tuple(cls.from_document(sub) for sub in document.get("subAttributes", ())),
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """A set of attributes under a URN (RFC 7643 7)."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Schema":
        """The schema of a document (RFC 7643 7). Raises KeyError or ValueError for an invalid one."""
        attributes = tuple(Attribute.from_document(attribute) for attribute in document["attributes"])
        return cls(document["id"], document["name"], document.get("description", ""), attributes)


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of resource: endpoint below the base URL, core schema, and extensions, all optional (RFC 7643 6)."""

    name: str
    endpoint: str
    description: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()


def user_schema() -> Schema:
    """The core User schema (RFC 7643 4.1)."""
    return _packaged("user")


def enterprise_user_schema() -> Schema:
    """The Enterprise User extension (RFC 7643 4.3)."""
    return _packaged("enterprise_user")


def group_schema() -> Schema:
    """The core Group schema (RFC 7643 4.2)."""
    return _packaged("group")


def common_attributes() -> tuple[Attribute, ...]:
    """The attributes that belong to every resource and to no schema: id, externalId, meta (RFC 7643 3.1)."""
    return _packaged("common").attributes


def user_resource_type(*more: Schema) -> ResourceType:
    """Users with the enterprise extension and further ones."""
    extensions = (enterprise_user_schema(), *more)
    return ResourceType("User", "/Users", "People's accounts", user_schema(), extensions)


def group_resource_type(*more: Schema) -> ResourceType:
    """Groups with extensions."""
    return ResourceType("Group", "/Groups", "Sets of users and groups", group_schema(), more)


def _packaged(name: str) -> Schema:
    document = files("quartet_scim").joinpath("schemas", f"{name}.json").read_bytes()
    return Schema.from_document(orjson.loads(document))
