"""The events that the users service publishes: the contract, with one JSON Schema each in schemas/."""

from typing import TYPE_CHECKING, Any

from quartet_common.messaging.outbox import DomainEvent

if TYPE_CHECKING:
    from quartet_users.domain import User

CREATED = "users.user.created.v1"
UPDATED = "users.user.updated.v1"
DELETED = "users.user.deleted.v1"
TENANT_CREATED = "users.tenant.created.v1"

PUBLISHED = (CREATED, UPDATED, DELETED, TENANT_CREATED)


def created(user: "User") -> DomainEvent:
    """A user came into being."""
    return DomainEvent(CREATED, f"users/{user.id}", user.version, _facts(user))


def updated(user: "User", changed: list[str]) -> DomainEvent:
    """Attributes of a user changed; `changed` names them, values of secrets are never told."""
    return DomainEvent(UPDATED, f"users/{user.id}", user.version, {**_facts(user), "changed": changed})


def deleted(user: "User") -> DomainEvent:
    """A user is gone; its version counts one further, so that nothing later is older."""
    return DomainEvent(DELETED, f"users/{user.id}", user.version + 1, _facts(user))


def tenant_created(tenant: str) -> DomainEvent:
    """A tenant came into being."""
    return DomainEvent(TENANT_CREATED, f"tenants/{tenant}", 1, {"id": tenant})


def _facts(user: "User") -> dict[str, Any]:
    return {
        "id": str(user.id),
        "userName": user.user_name,
        "displayName": user.attributes.get("displayName"),
        "externalId": user.external_id,
        "active": bool(user.attributes.get("active", True)),
    }
