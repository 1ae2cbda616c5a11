"""The shapes of requests and answers, for the OpenAPI document only; libs/scim checks what is really sent."""

from dataclasses import dataclass, field
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

    Resources: list[GroupDocument] = field(default_factory=list)  # the message's name
