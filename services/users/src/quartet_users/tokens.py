"""Access tokens: checks an API client and issues JWTs by RFC 9068."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from joserfc import jwt

from quartet_common.auth.principal import ANY_TENANT, SERVICE_SCOPE
from quartet_common.auth.tokens import ALGORITHM, AUDIENCE, TOKEN_TYPE
from quartet_common.ids import SYSTEM_TENANT, TENANT_ID, new_id
from quartet_users.config import BootstrapClient
from quartet_users.errors import InvalidClientError, OAuthError
from quartet_users.keys import KeyPair
from quartet_users.tenant_domain import PLATFORM_SCOPE

DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class Grant:
    """What a token will say: for whom, for which tenant (`*`: the service names it per call), with which scopes.

    `user_id` is the person's, None where a client acts for itself; `session` is the login that the token comes from,
    `authenticated_at` when the person logged in. `audience` is who is to take it: every service, or one of them by the
    URL that a client names as its `resource` (RFC 8707), e.g. `https://directory.example.com/audit`.
    """

    client_id: str
    tenant: str
    scopes: frozenset[str]
    user_id: UUID | None = None
    session: UUID | None = None
    authenticated_at: datetime | None = None
    audience: str = AUDIENCE


def find_client(clients: tuple[BootstrapClient, ...], client_id: str, secret: str) -> BootstrapClient:
    """The client with that id and secret. Raises InvalidClientError; takes as long for an unknown id."""
    found = None
    for client in clients:
        same_secret = hmac.compare_digest(client.client_secret.get_secret_value().encode(), secret.encode())
        if hmac.compare_digest(client.client_id.encode(), client_id.encode()) and same_secret:
            found = client
    if found is None:
        raise InvalidClientError
    return found


def decide_grant(client: BootstrapClient, scope: str | None, tenant: str | None) -> Grant:
    """What `client` gets. Without `scope` all its scopes; a service without `tenant` may act for any.

    Raises OAuthError `invalid_scope` or `invalid_request` (RFC 6749 section 5.2).
    """
    scopes = frozenset(scope.split()) if scope else client.scopes
    lacking = scopes - client.scopes
    if lacking:
        raise OAuthError("invalid_scope", f"The client does not have: {', '.join(sorted(lacking))[:200]}.")
    if tenant is None:
        tenant = ANY_TENANT if SERVICE_SCOPE in scopes else DEFAULT_TENANT
    elif TENANT_ID.fullmatch(tenant) is None:
        raise OAuthError("invalid_request", "A tenant is 1 to 63 lower-case letters, digits and inner hyphens.")
    if ANY_TENANT not in client.tenants and tenant not in client.tenants:
        raise OAuthError("invalid_request", "The client does not belong to that tenant.")
    if scope and scopes != within(tenant, scopes):
        raise OAuthError("invalid_scope", f"{PLATFORM_SCOPE} is given in the tenant {SYSTEM_TENANT} only.")
    return Grant(client.client_id, tenant, within(tenant, scopes))


def within(tenant: str, scopes: frozenset[str]) -> frozenset[str]:
    """Those of `scopes` that a token of `tenant` can have: the platform is administered from its own tenant only."""
    return scopes if tenant == SYSTEM_TENANT else scopes - {PLATFORM_SCOPE}


def sign(grant: Grant, pair: KeyPair, issuer: str, now: datetime, lifetime: int) -> str:
    """The access token (RFC 9068 section 2) for `grant`, valid for `lifetime` seconds."""
    issued = round(now.timestamp(), 3)  # a NumericDate may have a fraction; revocations are that exact
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": grant.audience,
        "sub": grant.client_id if grant.user_id is None else str(grant.user_id),
        "client_id": grant.client_id,
        "tenant": grant.tenant,
        "scope": " ".join(sorted(within(grant.tenant, grant.scopes))),
        "iat": issued,
        "exp": int(issued) + lifetime,
        "jti": str(new_id()),
    }
    if grant.session is not None:
        claims["sid"] = str(grant.session)
    if grant.authenticated_at is not None:
        claims["auth_time"] = int(grant.authenticated_at.timestamp())
    return jwt.encode({"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": pair.id}, claims, pair.key)
