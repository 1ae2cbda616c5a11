"""The events that the users service publishes: the contract, with one JSON Schema each in schemas/."""

from typing import Any, TypedDict
from uuid import UUID

from quartet_common.auth.revocations import REVOKED, Revocation
from quartet_common.messaging.outbox import DomainEvent
from quartet_scim.schema import Schema
from quartet_users.roles import GranteeType, Role

CREATED = "users.user.created.v1"
UPDATED = "users.user.updated.v1"
DELETED = "users.user.deleted.v1"
TENANT_CREATED = "users.tenant.created.v1"
SCHEMA_CREATED = "users.schema.created.v1"
SCHEMA_DELETED = "users.schema.deleted.v1"
ROLE_CREATED = "users.role.created.v1"
ROLE_UPDATED = "users.role.updated.v1"
ROLE_DELETED = "users.role.deleted.v1"
ROLE_GRANTED = "users.role.granted.v1"
ROLE_REVOKED = "users.role.revoked.v1"

PUBLISHED = (
    CREATED,
    UPDATED,
    DELETED,
    TENANT_CREATED,
    SCHEMA_CREATED,
    SCHEMA_DELETED,
    ROLE_CREATED,
    ROLE_UPDATED,
    ROLE_DELETED,
    ROLE_GRANTED,
    ROLE_REVOKED,
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


def schema_created(schema: Schema, version: int) -> DomainEvent:
    """A tenant registered a schema; `version` counts the changes of the tenant's schemas."""
    return DomainEvent(SCHEMA_CREATED, f"schemas/{schema.id}", version, _schema_facts(schema))


def schema_deleted(schema: Schema, version: int) -> DomainEvent:
    """A tenant has removed a schema."""
    return DomainEvent(SCHEMA_DELETED, f"schemas/{schema.id}", version, _schema_facts(schema))


def role_created(role: Role) -> DomainEvent:
    """A role came into being."""
    return DomainEvent(ROLE_CREATED, f"roles/{role.id}", role.version, _role_facts(role))


def role_updated(role: Role, changed: list[str]) -> DomainEvent:
    """A role changed; `changed` names what of it."""
    return DomainEvent(ROLE_UPDATED, f"roles/{role.id}", role.version, {**_role_facts(role), "changed": changed})


def role_deleted(role: Role) -> DomainEvent:
    """A role is gone, and nobody has it any more."""
    return DomainEvent(ROLE_DELETED, f"roles/{role.id}", role.version + 1, _role_facts(role))


def role_granted(role: Role, version: int, grantee_type: GranteeType, grantee: UUID) -> DomainEvent:
    """A role was given to a user or a group; `version` is the role's afterwards."""
    return DomainEvent(ROLE_GRANTED, f"roles/{role.id}", version, _grant_facts(role, grantee_type, grantee))


def role_revoked(role: Role, version: int, grantee_type: GranteeType, grantee: UUID) -> DomainEvent:
    """A role was taken from a user or a group; `version` is the role's afterwards."""
    return DomainEvent(ROLE_REVOKED, f"roles/{role.id}", version, _grant_facts(role, grantee_type, grantee))


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


def _role_facts(role: Role) -> dict[str, Any]:
    return {"id": str(role.id), "name": role.name, "scopes": sorted(role.scopes)}


def _grant_facts(role: Role, grantee_type: GranteeType, grantee: UUID) -> dict[str, Any]:
    return {"id": str(role.id), "name": role.name, "grantee": str(grantee), "granteeType": grantee_type}
