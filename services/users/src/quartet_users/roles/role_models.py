"""Shapes of requests and responses about roles; the Body structs parse requests, the rest is for OpenAPI."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import msgspec

from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS
from quartet_users.roles.role_domain import MAX_DESCRIPTION, MAX_NAME, GranteeType

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME, pattern=NO_CONTROL_CHARACTERS)]
Description = Annotated[str, msgspec.Meta(max_length=MAX_DESCRIPTION, pattern=NO_CONTROL_CHARACTERS)]
Scopes = Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]


class NewRoleBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of NewRoleDocument."""

    name: Name
    scopes: Scopes
    description: Description = ""


class RoleChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of RoleChangeDocument."""

    name: Name | None = None
    description: Description | None = None
    scopes: Scopes | None = None


class NewGrantBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of NewGrantDocument."""

    type: GranteeType
    id: UUID


@dataclass
class NewRoleDocument:
    """A role to create."""

    name: str
    scopes: list[str]
    description: str | None = None


@dataclass
class RoleChangeDocument:
    """The fields of a role to change; the others stay."""

    name: str | None = None
    description: str | None = None
    scopes: list[str] | None = None


@dataclass
class RoleDocument:
    """A role; `version` counts its changes and grants, `modified_at` is the time of its last change (RFC 3339)."""

    id: str
    name: str
    description: str
    scopes: list[str]
    version: int
    created_at: str
    modified_at: str


@dataclass
class RolePageQuery:
    """The query parameters of a page."""

    cursor: str | None = None
    count: int | None = None


@dataclass
class RoleListDocument:
    """A page of roles; `next` is the cursor of the next page, null on the last."""

    roles: list[RoleDocument]
    next: str | None


@dataclass
class NewGrantDocument:
    """The grantee of a role: `User` or `Group`, and its id."""

    type: str
    id: str


@dataclass
class GrantDocument:
    """The grant of a role: the grantee with its name if known, and who granted it when."""

    type: str
    id: str
    display: str | None
    granted_at: str
    granted_by: str


@dataclass
class GrantListDocument:
    """A page of grants; `next` is the cursor of the next page, null on the last."""

    grants: list[GrantDocument]
    next: str | None


@dataclass
class WayDocument:
    """The grantee through which a user has a role: the user itself, or a group with it as a direct or nested member."""

    type: str
    id: str
    display: str | None


@dataclass
class HeldRoleDocument:
    """A role of a user, and the grantees through which the user has it."""

    id: str
    name: str
    scopes: list[str]
    through: list[WayDocument]


@dataclass
class RolesOfDocument:
    """The roles of a user and all their scopes."""

    user: str
    scopes: list[str]
    roles: list[HeldRoleDocument]
