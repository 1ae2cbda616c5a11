"""Shapes of requests and responses about users, for the OpenAPI document only; libs/scim parses requests."""

from dataclasses import dataclass, field
from typing import Any

from quartet_scim.api_models import ListDocument


@dataclass
class UserDocument:
    """A SCIM User (RFC 7643 section 4.1); further attributes of the core and enterprise schemas are accepted."""

    schemas: list[str]
    userName: str  # noqa: N815  # the attribute's name
    id: str | None = None
    externalId: str | None = None  # noqa: N815  # the attribute's name
    displayName: str | None = None  # noqa: N815  # the attribute's name
    active: bool | None = None
    name: dict[str, Any] | None = None
    emails: list[dict[str, Any]] | None = None
    meta: dict[str, Any] | None = None


@dataclass
class UserListDocument(ListDocument):
    """A ListResponse of users (RFC 7644 section 3.4.2)."""

    Resources: list[UserDocument] = field(default_factory=list)  # the message's name


@dataclass
class LookupRequest:
    """Ids of users or groups to look up, at most 1,000."""

    ids: list[str]


@dataclass
class UserLookupRequest:
    """What names users to look up: ids, userNames and externalIds, at most 1,000 together."""

    ids: list[str] = field(default_factory=list)
    userNames: list[str] = field(default_factory=list)  # noqa: N815  # as the attribute's name
    externalIds: list[str] = field(default_factory=list)  # noqa: N815  # as the attribute's name


@dataclass
class KnownUser:
    """The data of a user that other services store."""

    id: str
    userName: str  # noqa: N815  # the attribute's name
    displayName: str | None  # noqa: N815  # the attribute's name
    version: int
    externalId: str | None = None  # noqa: N815  # the attribute's name


@dataclass
class LookupDocument:
    """The users of the tenant among the ids."""

    users: list[KnownUser] = field(default_factory=list)


@dataclass
class GroupScopesDocument:
    """The scopes of all roles granted to the groups."""

    scopes: list[str]
