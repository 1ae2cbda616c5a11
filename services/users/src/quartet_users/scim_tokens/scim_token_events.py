"""Events of SCIM tokens."""

from typing import Any

from quartet_common.messaging.outbox import DomainEvent
from quartet_users.scim_tokens.scim_token_domain import ScimToken

SCIM_TOKEN_CREATED = "users.scim_token.created.v1"  # noqa: S105  # nosec B105  # the name of an event

SCIM_TOKEN_REVOKED = "users.scim_token.revoked.v1"  # noqa: S105  # nosec B105  # the name of an event


def scim_token_created(token: ScimToken) -> DomainEvent:
    """A SCIM token was created; neither the token nor its hash is published."""
    return DomainEvent(SCIM_TOKEN_CREATED, f"scim-tokens/{token.id}", 1, _scim_token_facts(token))


def scim_token_revoked(token: ScimToken) -> DomainEvent:
    """A SCIM token was revoked."""
    return DomainEvent(SCIM_TOKEN_REVOKED, f"scim-tokens/{token.id}", 2, _scim_token_facts(token))


def _scim_token_facts(token: ScimToken) -> dict[str, Any]:
    return {
        "id": str(token.id),
        "name": token.name,
        "scopes": sorted(token.scopes),
        "expiresAt": None if token.expires_at is None else token.expires_at.isoformat(),
    }
