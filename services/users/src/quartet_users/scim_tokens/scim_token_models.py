"""The shapes of SCIM tokens and of what is asked about tokens; requests are read as these, the rest is for the
OpenAPI document.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import msgspec

from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
Days = Annotated[int, msgspec.Meta(ge=1, le=3650)]


class NewScimTokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a new token is to be, as it is read."""

    name: Name
    scopes: list[str] | None = None
    expires_at: datetime | None = None
    expires_in_days: Days | None = None
    client_id: Name | None = None


@dataclass
class NewScimTokenDocument:
    """What a new token is to be: scopes (all four of users and groups if none are named), and its end, if it is to
    have one, as a time or in days.
    """

    name: str
    scopes: list[str] | None = None
    expires_at: str | None = None
    expires_in_days: int | None = None
    client_id: str | None = None


@dataclass
class ScimTokenDocument:
    """A SCIM token; `hint` is how it begins and ends."""

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
    """A new SCIM token, with the bearer token itself, which is shown this once."""

    token: str = ""


@dataclass
class ScimTokenListDocument:
    """SCIM tokens; `next` is the cursor of the page that follows, null on the last."""

    scim_tokens: list[ScimTokenDocument] = field(default_factory=list)
    next: str | None = None


@dataclass
class ScimTokenPageQuery:
    """Query of a page."""

    cursor: str | None = None
    count: int | None = None


@dataclass
class TokenStatusRequest:
    """Form of introspection (RFC 7662 section 2.1) and revocation (RFC 7009 section 2.1)."""

    token: str
    token_type_hint: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


@dataclass
class IntrospectionDocument:
    """Answer of introspection (RFC 7662 section 2.2); only `active` where it is false. `tenant` is Quartet's own."""

    active: bool
    tenant: str | None = None
    sub: str | None = None
    username: str | None = None
    client_id: str | None = None
    scope: str | None = None
    token_type: str | None = None
    jti: str | None = None
    iss: str | None = None
    aud: str | list[str] | None = None
    iat: int | None = None
    exp: int | None = None
