"""The shapes of requests and answers, for the OpenAPI document only; libs/scim checks what is really sent."""

from dataclasses import dataclass
from typing import Any

from quartet_scim.documents import ListDocument


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
class GroupListDocument(ListDocument):
    """A ListResponse of groups (RFC 7644 section 3.4.2)."""

    Resources: list[GroupDocument]  # the message's name


@dataclass
class GroupOperationsDocument:
    """Group operations of a Bulk: method, id, and where they apply version and data."""

    operations: list[dict[str, Any]]
    failOnErrors: int | None = None  # noqa: N815  # the message's name


@dataclass
class GroupResultsDocument:
    """What became of them: status, version, error."""

    results: list[dict[str, Any]]
