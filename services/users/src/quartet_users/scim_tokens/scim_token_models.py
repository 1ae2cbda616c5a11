"""Shapes of requests and responses about SCIM tokens; the Body structs parse requests, the rest is for OpenAPI."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import msgspec

from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]


class NewScimTokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of NewScimTokenDocument."""

    name: Name
    scopes: list[str] | None = None
    expires_at: datetime | None = None
    expires_in_days: Days | None = None
    client_id: Name | None = None


@dataclass
class NewScimTokenDocument:
    """A token to create: its scopes (default: the four of users and groups), and its expiry as a time or in days."""

    name: str
    scopes: list[str] | None = None
    expires_at: str | None = None
    expires_in_days: int | None = None
    client_id: str | None = None


@dataclass
class ScimTokenDocument:
    """A SCIM token; `hint` has its first and last characters."""

    id: str
    name: str
    scopes: list[str]
    client_id: str | None
    hint: str
    created_at: str
    created_by: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


@dataclass
class CreatedScimTokenDocument(ScimTokenDocument):
    """A new SCIM token with the bearer token itself, which is shown once."""

    token: str = ""


@dataclass
class ScimTokenListDocument:
    """A page of SCIM tokens; `next` is the cursor of the next page, null on the last."""

    scim_tokens: list[ScimTokenDocument] = field(default_factory=list)
    next: str | None = None


@dataclass
class ScimTokenPageQuery:
    """The query parameters of a page."""

    cursor: str | None = None
    count: int | None = None
