"""The shapes of requests and answers, for the OpenAPI document; libs/scim or the structs check what is really sent."""

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
    """Groups to mark, as they are read."""

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
    """Those of the ids that are groups of the tenant."""

    groups: list[MarkedGroupDocument]


@dataclass
class GroupResultsDocument:
    """What became of them: status, version, error."""

    results: list[dict[str, Any]]


@dataclass
class PageQuery:
    """Query of a page."""

    cursor: str | None = None
    count: int | None = None


@dataclass
class MembersDocument:
    """Members of a group; `next` is the cursor of the page that follows, null on the last."""

    members: list[dict[str, Any]]
    next: str | None


@dataclass
class CheckQuery:
    """Query of a check: the ids of a user and of a group."""

    user: str
    group: str


@dataclass
class CheckListRequest:
    """Checks to make at once."""

    checks: list[CheckQuery]


@dataclass
class StepDocument:
    """A group on the way from a user to a group."""

    value: str
    display: str


@dataclass
class CheckDocument:
    """Whether the user is in the group, and the shortest chain of groups that makes it so."""

    user: str
    group: str
    member: bool
    direct: bool
    path: list[StepDocument]


@dataclass
class CheckListDocument:
    """Answers in the order of the questions."""

    results: list[CheckDocument]


@dataclass
class GroupsOfDocument:
    """Groups of a user; `next` is the cursor of the page that follows, null on the last."""

    groups: list[dict[str, Any]]
    next: str | None
