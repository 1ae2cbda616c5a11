"""Shapes of requests and responses about groups, for OpenAPI; libs/scim and the Body structs parse requests."""

from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import msgspec

from quartet_scim.api_models import ListDocument


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


@dataclass
class GroupOperationsDocument:
    """Group operations of a Bulk: method, id, and where they apply version and data."""

    operations: list[dict[str, Any]]
    failOnErrors: int | None = None  # noqa: N815  # the message's name
    seconds: float | None = None
    scopes: list[str] | None = None


class MarkBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of MarkDocument."""

    ids: Annotated[list[UUID], msgspec.Meta(max_length=1000)]


@dataclass
class MarkDocument:
    """Ids of groups to mark, at most 1,000."""

    ids: list[str]


@dataclass
class MarkedGroupDocument:
    """A group that was marked."""

    id: str
    displayName: str  # noqa: N815  # the attribute's name


@dataclass
class MarkedDocument:
    """The groups of the tenant among the ids."""

    groups: list[MarkedGroupDocument]


@dataclass
class GroupResultsDocument:
    """The results of operations: status, version, error."""

    results: list[dict[str, Any]]


@dataclass
class PageQuery:
    """The query parameters of a page."""

    cursor: str | None = None
    count: int | None = None


@dataclass
class MembersDocument:
    """A page of members; `next` is the cursor of the next page, null on the last."""

    members: list[dict[str, Any]]
    next: str | None


@dataclass
class CheckQuery:
    """A check: the ids of a user and of a group."""

    user: str
    group: str


@dataclass
class CheckListRequest:
    """Checks to carry out."""

    checks: list[CheckQuery]


@dataclass
class StepDocument:
    """A group on the path from a user to a group."""

    value: str
    display: str


@dataclass
class CheckDocument:
    """Whether the user is in the group, and the shortest path of groups between them."""

    user: str
    group: str
    member: bool
    direct: bool
    path: list[StepDocument]


@dataclass
class CheckListDocument:
    """The results in the order of the checks."""

    results: list[CheckDocument]


@dataclass
class GroupsOfDocument:
    """A page of the groups of a user; `next` is the cursor of the next page, null on the last."""

    groups: list[dict[str, Any]]
    next: str | None
