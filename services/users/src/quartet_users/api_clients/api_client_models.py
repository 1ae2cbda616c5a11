"""Shapes of requests and responses about API clients; the Body structs parse requests, the rest is for OpenAPI."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
Authentication = Literal["client_secret_basic", "private_key_jwt"]


class NewClientBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of NewClientDocument."""

    name: Name
    scopes: list[str]
    authentication: Authentication = "client_secret_basic"
    jwks: Any = None
    expires_at: datetime | None = None


class ChangedClientBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of ChangedClientDocument."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    scopes: list[str] | msgspec.UnsetType = msgspec.UNSET
    jwks: Any | msgspec.UnsetType = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class NewSecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of NewSecretDocument."""

    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=30 * 24 * 3600)] = 24 * 3600


@dataclass
class NewClientDocument:
    """A client to create; `jwks` are its public keys (RFC 7517), for private_key_jwt."""

    name: str
    scopes: list[str]
    authentication: str = "client_secret_basic"
    jwks: dict[str, Any] | None = None
    expires_at: str | None = None


@dataclass
class ChangedClientDocument:
    """The fields of a client to change; the others stay."""

    name: str | None = None
    scopes: list[str] | None = None
    jwks: dict[str, Any] | None = None
    expires_at: str | None = None


@dataclass
class ClientDocument:
    """An API client without its secrets."""

    client_id: str
    name: str
    scopes: list[str]
    authentication: str
    jwks: dict[str, Any] | None
    version: int
    created_at: str
    created_by: str
    modified_at: str
    expires_at: str | None
    last_used_at: str | None


@dataclass
class CreatedClientDocument(ClientDocument):
    """A new client with its secret, which is shown once; null for a client with keys."""

    client_secret: str | None = None


@dataclass
class SecretDocument:
    """A secret of a client; `hint` has its first and last characters."""

    id: str
    hint: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None


@dataclass
class WholeClientDocument(ClientDocument):
    """A client with its secrets."""

    secrets: list[SecretDocument] = field(default_factory=list)


@dataclass
class ClientListDocument:
    """A page of clients; `next` is the cursor of the next page, null on the last."""

    clients: list[ClientDocument] = field(default_factory=list)
    next: str | None = None


@dataclass
class ClientPageQuery:
    """The query parameters of a page."""

    cursor: str | None = None
    count: int | None = None


@dataclass
class NewSecretDocument:
    """The seconds for which the old secrets stay valid, at most 30 days."""

    overlap_seconds: int = 24 * 3600


@dataclass
class CreatedSecretDocument:
    """A new secret, which is shown once, and the time at which the old ones expire."""

    id: str
    client_secret: str
    others_end_at: str
