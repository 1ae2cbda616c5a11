"""The events that the users service publishes: the contract, with one JSON Schema each in schemas/."""

from typing import Any, TypedDict
from uuid import UUID

from quartet_common.auth.revocations import REVOKED, Revocation
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.tenancy import TENANT_DELETED
from quartet_scim.schema import Schema

CREATED = "users.user.created.v1"
UPDATED = "users.user.updated.v1"
DELETED = "users.user.deleted.v1"
TENANT_CREATED = "users.tenant.created.v1"
TENANT_UPDATED = "users.tenant.updated.v1"
TENANT_SUSPENDED = "users.tenant.suspended.v1"
TENANT_RESUMED = "users.tenant.resumed.v1"
SCHEMA_CREATED = "users.schema.created.v1"
SCHEMA_DELETED = "users.schema.deleted.v1"

PUBLISHED = (
    CREATED,
    UPDATED,
    DELETED,
    TENANT_CREATED,
    TENANT_UPDATED,
    TENANT_SUSPENDED,
    TENANT_RESUMED,
    TENANT_DELETED,
    SCHEMA_CREATED,
    SCHEMA_DELETED,
    REVOKED,
)


class UserFacts(TypedDict):
    """What every user event tells of the user."""

    id: str
    userName: str
    displayName: str | None
    externalId: str | None
    active: bool


def created(user_id: UUID, version: int, facts: UserFacts) -> DomainEvent:
    """A user came into being."""
    return DomainEvent(CREATED, f"users/{user_id}", version, {**facts})


def updated(user_id: UUID, version: int, facts: UserFacts, changed: list[str]) -> DomainEvent:
    """Attributes of a user changed; `changed` names them, values of secrets are never told."""
    return DomainEvent(UPDATED, f"users/{user_id}", version, {**facts, "changed": changed})


def deleted(user_id: UUID, version: int, facts: UserFacts) -> DomainEvent:
    """A user is gone."""
    return DomainEvent(DELETED, f"users/{user_id}", version, {**facts})


def tenant_created(tenant: str) -> DomainEvent:
    """A tenant came into being."""
    return DomainEvent(TENANT_CREATED, f"tenants/{tenant}", 1, {"id": tenant})


def tenant_updated(tenant: str, version: int, display_name: str) -> DomainEvent:
    """A tenant has another name."""
    return DomainEvent(TENANT_UPDATED, f"tenants/{tenant}", version, {"id": tenant, "displayName": display_name})


def tenant_suspended(tenant: str, version: int) -> DomainEvent:
    """All tokens of a tenant are refused until it is resumed."""
    return DomainEvent(TENANT_SUSPENDED, f"tenants/{tenant}", version, {"id": tenant})


def tenant_resumed(tenant: str, version: int) -> DomainEvent:
    """A suspended tenant has access again."""
    return DomainEvent(TENANT_RESUMED, f"tenants/{tenant}", version, {"id": tenant})


def tenant_deleted(tenant: str, version: int) -> DomainEvent:
    """A tenant is gone for good; every service removes what it has of it."""
    return DomainEvent(TENANT_DELETED, f"tenants/{tenant}", version, {"id": tenant})


def schema_created(schema: Schema, version: int) -> DomainEvent:
    """A tenant registered a schema; `version` counts the changes of the tenant's schemas."""
    return DomainEvent(SCHEMA_CREATED, f"schemas/{schema.id}", version, _schema_facts(schema))


def schema_deleted(schema: Schema, version: int) -> DomainEvent:
    """A tenant has removed a schema."""
    return DomainEvent(SCHEMA_DELETED, f"schemas/{schema.id}", version, _schema_facts(schema))


def token_revoked(revocation: Revocation) -> DomainEvent:
    """Tokens are refused from now on; no token is in it, only what points at them."""
    data = {
        "tenant": revocation.tenant,
        "kind": revocation.kind,
        "id": revocation.id,
        "revokedAt": revocation.revoked_at.isoformat(),
        "endless": revocation.endless,
    }
    sequence = int(revocation.revoked_at.timestamp() * 1000)
    return DomainEvent(REVOKED, f"revocations/{revocation.kind}-{revocation.id}", sequence, data)


def _schema_facts(schema: Schema) -> dict[str, Any]:
    return {"id": schema.id, "name": schema.name, "attributes": [attribute.name for attribute in schema.attributes]}
