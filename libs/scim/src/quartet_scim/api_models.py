"""Shapes of SCIM messages as dataclasses, for the OpenAPI document only."""

from dataclasses import dataclass
from typing import Any


@dataclass
class ErrorDocument:
    """A SCIM error (RFC 7644 3.12)."""

    schemas: list[str]
    status: str
    detail: str
    scimType: str | None = None  # noqa: N815  # the message's name


@dataclass
class ProjectionQuery:
    """The attributes of a response (RFC 7644 3.9): names separated by commas, in one of the two parameters."""

    attributes: str | None = None
    excludedAttributes: str | None = None  # noqa: N815  # the parameter's name


@dataclass
class PatchDocument:
    """A PatchOp message (RFC 7644 3.5.2)."""

    schemas: list[str]
    Operations: list[dict[str, Any]]  # the message's name


@dataclass
class ListQuery(ProjectionQuery):
    """The query parameters of a list (RFC 7644 3.4.2, RFC 9865 2); cursor replaces startIndex and is first empty."""

    filter: str | None = None
    sortBy: str | None = None  # noqa: N815  # the parameter's name
    sortOrder: str | None = None  # noqa: N815  # the parameter's name
    startIndex: int | None = None  # noqa: N815  # the parameter's name
    count: int | None = None
    cursor: str | None = None


@dataclass
class SearchDocument:
    """A SearchRequest message (RFC 7644 3.4.3)."""

    schemas: list[str]
    filter: str | None = None
    sortBy: str | None = None  # noqa: N815  # the message's name
    sortOrder: str | None = None  # noqa: N815  # the message's name
    startIndex: int | None = None  # noqa: N815  # the message's name
    count: int | None = None
    cursor: str | None = None
    attributes: list[str] | None = None
    excludedAttributes: list[str] | None = None  # noqa: N815  # the message's name


@dataclass
class ListDocument:
    """A ListResponse (RFC 7644 3.4.2, RFC 9865 2) without its resources."""

    schemas: list[str]
    itemsPerPage: int  # noqa: N815  # the message's name
    totalResults: int | None = None  # noqa: N815  # the message's name
    startIndex: int | None = None  # noqa: N815  # the message's name
    nextCursor: str | None = None  # noqa: N815  # the message's name
