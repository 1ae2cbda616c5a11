"""Events of users: the contract, with one JSON Schema each in schemas/."""

from typing import TypedDict
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent

CREATED = "users.user.created.v1"

UPDATED = "users.user.updated.v1"

DELETED = "users.user.deleted.v1"


class UserFacts(TypedDict):
    """The data of every user event."""

    id: str
    userName: str
    displayName: str | None
    externalId: str | None
    active: bool


def created(user_id: UUID, version: int, facts: UserFacts) -> DomainEvent:
    """A user came into being."""
    return DomainEvent(CREATED, f"users/{user_id}", version, {**facts})


def updated(user_id: UUID, version: int, facts: UserFacts, changed: list[str]) -> DomainEvent:
    """Attributes of a user changed; `changed` names them, values of secrets are never published."""
    return DomainEvent(UPDATED, f"users/{user_id}", version, {**facts, "changed": changed})


def deleted(user_id: UUID, version: int, facts: UserFacts) -> DomainEvent:
    """A user is gone."""
    return DomainEvent(DELETED, f"users/{user_id}", version, {**facts})
