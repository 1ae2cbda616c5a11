"""API clients: programs of a tenant with credentials of their own."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Authentication = Literal["client_secret_basic", "private_key_jwt"]


@dataclass(frozen=True)
class NewClient:
    """A client to create. `jwks` are its public keys (RFC 7517), for `private_key_jwt` only."""

    name: str
    scopes: frozenset[str]
    authentication: Authentication = "client_secret_basic"
    jwks: dict[str, Any] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class ApiClient:
    """A client of `tenant`. Its id begins with the tenant's, so a token request need not name the tenant."""

    tenant: str
    id: str
    name: str
    scopes: frozenset[str]
    authentication: Authentication
    jwks: dict[str, Any] | None
    version: int
    created_at: datetime
    created_by: str
    modified_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
