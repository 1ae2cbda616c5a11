"""The shapes of requests and answers, for the OpenAPI document only; libs/scim checks what is really sent."""

from dataclasses import dataclass, field
from typing import Any

from quartet_scim.documents import ListDocument
from quartet_users.sessions import Tokens


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
class BulkRequestDocument:
    """A BulkRequest (RFC 7644 section 3.7): method, path, and where they apply bulkId, version and data."""

    schemas: list[str]
    Operations: list[dict[str, Any]]  # the message's name
    failOnErrors: int | None = None  # noqa: N815  # the message's name


@dataclass
class BulkResponseDocument:
    """A BulkResponse (RFC 7644 section 3.7.3): method, bulkId, location, version, status, and response for an error."""

    schemas: list[str]
    Operations: list[dict[str, Any]]  # the message's name


@dataclass
class SchemaDocument:
    """A schema (RFC 7643 section 7)."""

    id: str
    name: str
    attributes: list[dict[str, Any]]
    schemas: list[str] | None = None
    description: str | None = None
    meta: dict[str, Any] | None = None


@dataclass
class ProblemDocument:
    """What is wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str


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
class LoginRequest:
    """A person's name and password; a `new_password` takes the place of the one that was right."""

    tenant: str
    user_name: str
    password: str
    client_id: str = "quartet-cli"
    new_password: str | None = None


@dataclass
class LoginDocument:
    """The tokens of a session; durations are seconds."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str
    session_id: str
    user_id: str

    @classmethod
    def of(cls, tokens: Tokens) -> "LoginDocument":
        """As RFC 6749 section 5.1 writes it, and whose session it is."""
        return cls(
            tokens.access_token,
            "Bearer",
            tokens.expires_in,
            tokens.refresh_token,
            tokens.refresh_expires_in,
            tokens.scope,
            str(tokens.session_id),
            str(tokens.user_id),
        )


@dataclass
class PasswordRequest:
    """A new password of one's own."""

    old_password: str
    new_password: str


@dataclass
class SessionsQuery:
    """Whose sessions, and which page of them."""

    user: str | None = None
    cursor: str | None = None
    count: int | None = None


@dataclass
class EndQuery:
    """Which sessions: of whom, and whether the one that asks stays."""

    user: str | None = None
    others: bool | None = None


@dataclass
class SessionDocument:
    """A session; `ends_at` is when it is over unless it is used before, `expires_at` when it is in any case."""

    id: str
    user_id: str
    client_id: str
    created_at: str
    last_used_at: str
    ends_at: str
    expires_at: str
    source_address: str | None
    user_agent: str | None
    current: bool


@dataclass
class SessionListDocument:
    """Sessions, newest first, and the cursor of the next page."""

    sessions: list[SessionDocument]
    next: str | None


@dataclass
class TokenDocument:
    """Answer of the token endpoint (RFC 6749 section 5.1)."""

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


@dataclass
class LookupRequest:
    """Ids of users to look up, at most 1,000."""

    ids: list[str]


@dataclass
class KnownUser:
    """What other services keep of a user."""

    id: str
    userName: str  # noqa: N815  # the attribute's name
    displayName: str | None  # noqa: N815  # the attribute's name
    version: int


@dataclass
class LookupDocument:
    """Those of the ids that the tenant has."""

    users: list[KnownUser] = field(default_factory=list)
