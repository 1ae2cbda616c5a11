"""The shapes of requests and answers, for the OpenAPI document only; libs/scim checks what is really sent."""

from dataclasses import dataclass
from typing import Any


@dataclass
class GroupDocument:
    """A SCIM Group (RFC 7643 section 4.2)."""

    schemas: list[str]
    displayName: str  # noqa: N815  # the attribute's name
    id: str | None = None
    externalId: str | None = None  # noqa: N815  # the attribute's name
    members: list[dict[str, Any]] | None = None
    meta: dict[str, Any] | None = None


@dataclass
class GroupListDocument:
    """A ListResponse (RFC 7644 section 3.4.2)."""

    schemas: list[str]
    totalResults: int  # noqa: N815  # the message's name
    startIndex: int  # noqa: N815  # the message's name
    itemsPerPage: int  # noqa: N815  # the message's name
    Resources: list[GroupDocument]  # the message's name


@dataclass
class ScimErrorDocument:
    """A SCIM error (RFC 7644 section 3.12)."""

    schemas: list[str]
    status: str
    detail: str
    scimType: str | None = None  # noqa: N815  # the message's name


@dataclass
class ListQuery:
    """Query of a list."""

    startIndex: int | None = None  # noqa: N815  # the parameter's name
    count: int | None = None
    filter: str | None = None
