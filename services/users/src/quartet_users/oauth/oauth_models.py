"""Shapes of requests and responses of the OAuth endpoints, for the OpenAPI document only."""

from dataclasses import dataclass
from typing import Any


@dataclass
class TokenRequest:
    """Form of the token endpoint (RFC 6749 section 4.4.2, RFC 7521 section 4.2, RFC 8707 section 2); `tenant` is
    Quartet's own.
    """

    grant_type: str
    scope: str | None = None
    tenant: str | None = None
    resource: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_assertion_type: str | None = None
    client_assertion: str | None = None
    refresh_token: str | None = None


@dataclass
class TokenDocument:
    """Response of the token endpoint (RFC 6749 section 5.1)."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


@dataclass
class TokenErrorDocument:
    """Error of the token endpoint (RFC 6749 section 5.2)."""

    error: str
    error_description: str


@dataclass
class TokenStatusRequest:
    """Form of introspection (RFC 7662 section 2.1) and revocation (RFC 7009 section 2.1)."""

    token: str
    token_type_hint: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


@dataclass
class IntrospectionDocument:
    """Response of introspection (RFC 7662 section 2.2); only `active` where it is false. `tenant` and `client_name` are
    Quartet's own.
    """

    active: bool
    tenant: str | None = None
    sub: str | None = None
    username: str | None = None
    client_id: str | None = None
    client_name: str | None = None
    scope: str | None = None
    token_type: str | None = None
    jti: str | None = None
    iss: str | None = None
    aud: str | list[str] | None = None
    iat: int | None = None
    exp: int | None = None


@dataclass
class KeySetDocument:
    """A JSON Web Key Set (RFC 7517 section 5)."""

    keys: list[dict[str, Any]]


@dataclass
class ServerDocument:
    """Metadata of the authorization server (RFC 8414 section 2)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    revocation_endpoint: str
    introspection_endpoint: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    scopes_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_signing_alg_values_supported: list[str]
    service_documentation: str
