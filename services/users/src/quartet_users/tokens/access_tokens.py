"""Access tokens: their content, and their signed form as JWTs (RFC 9068)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from joserfc import jwt

from quartet_common.auth.scopes import PLATFORM_ADMIN
from quartet_common.auth.token_verifier import ALGORITHM, AUDIENCE, CLIENT_NAME, TOKEN_TYPE, USER_NAME
from quartet_common.core.caller import MAX_ACTOR_NAME, cut
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_users.errors import OAuthError
from quartet_users.tokens.key_ring import KeyPair

SERVICES = ("users", "groups", "audit", "metrics")
"""The services that an access token can be restricted to."""


@dataclass(frozen=True)
class Grant:
    """The content of a token: client, tenant (`*`: the calling service names it in each request) and scopes.

    `user_id` is None for a client that acts for itself; `session` is the user's session, `authenticated_at` the time of
    the login. `audience` is all services, or the URL of one, which a client names as `resource` (RFC 8707), such as
    `https://directory.example.com/audit`. `name` is the userName of the user or the name of the client, for events.
    """

    client_id: str
    tenant: str
    scopes: frozenset[str]
    user_id: UUID | None = None
    session: UUID | None = None
    authenticated_at: datetime | None = None
    audience: str = AUDIENCE
    name: str | None = None


def audience_of(issuer: str, resources: Sequence[str]) -> str:
    """The `aud` of a token for the form's `resource` parameters (RFC 8707 section 2): all services without one. Raises
    OAuthError `invalid_target`.
    """
    if not resources:
        return AUDIENCE
    if len(resources) > 1 or resources[0] not in {f"{issuer}/{service}" for service in SERVICES}:
        known = ", ".join(f"{issuer}/{service}" for service in SERVICES)
        raise OAuthError(
            "invalid_target", f"resource must be one of {known}. Without it, the token is for all services."
        )
    return resources[0]


def within(tenant: str, scopes: frozenset[str]) -> frozenset[str]:
    """Those of `scopes` that a token of `tenant` can have: platform:admin exists in the platform's tenant only."""
    return scopes if tenant == SYSTEM_TENANT else scopes - {PLATFORM_ADMIN}


def sign(grant: Grant, pair: KeyPair, issuer: str, now: datetime, lifetime: int, token_id: UUID | None = None) -> str:
    """The access token (RFC 9068 section 2) for `grant`, valid for `lifetime` seconds; `token_id` is its `jti` (None: a
    new one).
    """
    issued = round(now.timestamp(), 3)  # a NumericDate may have a fraction; revocations have milliseconds too
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": grant.audience,
        "sub": grant.client_id if grant.user_id is None else str(grant.user_id),
        "client_id": grant.client_id,
        "tenant": grant.tenant,
        "scope": " ".join(sorted(within(grant.tenant, grant.scopes))),
        "iat": issued,
        "exp": int(issued) + lifetime,
        "jti": str(token_id or new_id()),
    }
    name = cut(grant.name or "", MAX_ACTOR_NAME)
    if name is not None:
        claims[CLIENT_NAME if grant.user_id is None else USER_NAME] = name
    if grant.session is not None:
        claims["sid"] = str(grant.session)
    if grant.authenticated_at is not None:
        claims["auth_time"] = int(grant.authenticated_at.timestamp())
    return jwt.encode({"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": pair.id}, claims, pair.key)
