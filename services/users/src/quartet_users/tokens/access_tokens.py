"""Access tokens: what a client gets, and the JWTs of RFC 9068 that say it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from joserfc import jwt

from quartet_common.auth.scopes import PLATFORM_ADMIN
from quartet_common.auth.token_verifier import ALGORITHM, AUDIENCE, TOKEN_TYPE
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_users.errors import OAuthError
from quartet_users.tokens.key_ring import KeyPair

SERVICES = ("users", "groups", "audit", "metrics")
"""Those that a token may be meant for alone."""


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


def audience_of(issuer: str, resources: Sequence[str]) -> str:
    """The `aud` of a token for `resources`, the form's parameters of that name (RFC 8707 section 2): every service
    where there is none. Raises OAuthError `invalid_target`.
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
    """Those of `scopes` that a token of `tenant` can have: the platform is administered from its own tenant only."""
    return scopes if tenant == SYSTEM_TENANT else scopes - {PLATFORM_ADMIN}


def sign(grant: Grant, pair: KeyPair, issuer: str, now: datetime, lifetime: int, token_id: UUID | None = None) -> str:
    """The access token (RFC 9068 section 2) for `grant`, valid for `lifetime` seconds; `token_id` is its `jti`, a new
    one where none is given.
    """
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
        "jti": str(token_id or new_id()),
    }
    if grant.session is not None:
        claims["sid"] = str(grant.session)
    if grant.authenticated_at is not None:
        claims["auth_time"] = int(grant.authenticated_at.timestamp())
    return jwt.encode({"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": pair.id}, claims, pair.key)
