"""Events of SCIM tokens."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent

SCIM_TOKEN_CREATED = "users.scim_token.created.v1"  # noqa: S105  # nosec B105  # the name of an event

SCIM_TOKEN_REVOKED = "users.scim_token.revoked.v1"  # noqa: S105  # nosec B105  # the name of an event


class ScimTokenFacts(Protocol):
    """The data of every SCIM token event."""

    @property
    def id(self) -> UUID:
        """Its id."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def scopes(self) -> frozenset[str]:
        """What it may do."""

    @property
    def expires_at(self) -> datetime | None:
        """When it ends; None for never."""


def scim_token_created(token: ScimTokenFacts) -> DomainEvent:
    """A tenant got a SCIM token; neither the token nor its hash is published."""
    return DomainEvent(SCIM_TOKEN_CREATED, f"scim-tokens/{token.id}", 1, _scim_token_facts(token))


def scim_token_revoked(token: ScimTokenFacts) -> DomainEvent:
    """A SCIM token has ended before its time."""
    return DomainEvent(SCIM_TOKEN_REVOKED, f"scim-tokens/{token.id}", 2, _scim_token_facts(token))


def _scim_token_facts(token: ScimTokenFacts) -> dict[str, Any]:
    return {
        "id": str(token.id),
        "name": token.name,
        "scopes": sorted(token.scopes),
        "expiresAt": None if token.expires_at is None else token.expires_at.isoformat(),
    }
