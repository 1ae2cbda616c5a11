"""The shapes of roles and grants; requests are read as the structs, the rest is for the OpenAPI document."""

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
    """What a new role is to be, as it is read."""

    name: Name
    scopes: Scopes
    description: Description = ""


class RoleChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    """What of a role is to be another, as it is read."""

    name: Name | None = None
    description: Description | None = None
    scopes: Scopes | None = None


class NewGrantBody(msgspec.Struct, forbid_unknown_fields=True):
    """To whom a role is to be given, as it is read."""

    type: GranteeType
    id: UUID


@dataclass
class NewRoleDocument:
    """What a new role is to be."""

    name: str
    scopes: list[str]
    description: str | None = None


@dataclass
class RoleChangeDocument:
    """What of a role is to be another; what is not named stays."""

    name: str | None = None
    description: str | None = None
    scopes: list[str] | None = None


@dataclass
class RoleDocument:
    """A role; `version` counts its changes and grants, `modified_at` is when it last changed itself (RFC 3339)."""

    id: str
    name: str
    description: str
    scopes: list[str]
    version: int
    created_at: str
    modified_at: str


@dataclass
class RolePageQuery:
    """Query of a page."""

    cursor: str | None = None
    count: int | None = None


@dataclass
class RoleListDocument:
    """Roles; `next` is the cursor of the page that follows, null on the last."""

    roles: list[RoleDocument]
    next: str | None


@dataclass
class NewGrantDocument:
    """To whom a role is to be given: `User` or `Group`, and its id."""

    type: str
    id: str


@dataclass
class GrantDocument:
    """Who has a role, by its name where one is known, and who gave it when."""

    type: str
    id: str
    display: str | None
    granted_at: str
    granted_by: str


@dataclass
class GrantListDocument:
    """Who has a role; `next` is the cursor of the page that follows, null on the last."""

    grants: list[GrantDocument]
    next: str | None


@dataclass
class WayDocument:
    """Through what a user has a role: itself, or a group that it is in, directly or by nested groups."""

    type: str
    id: str
    display: str | None


@dataclass
class HeldRoleDocument:
    """A role that a user has, and through what."""

    id: str
    name: str
    scopes: list[str]
    through: list[WayDocument]


@dataclass
class RolesOfDocument:
    """The roles that a user has, and all scopes that they give together."""

    user: str
    scopes: list[str]
    roles: list[HeldRoleDocument]
