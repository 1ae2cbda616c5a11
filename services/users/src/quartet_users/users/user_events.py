"""Events of users; their JSON Schemas are in schemas/."""

from typing import Any, TypedDict
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
    """A user was created."""
    return DomainEvent(CREATED, f"users/{user_id}", version, {**facts})


def updated(user_id: UUID, version: int, facts: UserFacts, changed: list[str], changes: dict[str, Any]) -> DomainEvent:
    """A user was changed; `changed` names the attributes, `changes` are the members of `changed_values`.

    Secrets are never published.
    """
    return DomainEvent(UPDATED, f"users/{user_id}", version, {**facts, "changed": changed, **changes})


def deleted(user_id: UUID, version: int, facts: UserFacts) -> DomainEvent:
    """A user was deleted."""
    return DomainEvent(DELETED, f"users/{user_id}", version, {**facts})
