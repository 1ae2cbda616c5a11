"""Events of roles."""

from typing import Any
from uuid import UUID

from quartet_common.messaging.changed_values import changed_values
from quartet_common.messaging.outbox import DomainEvent
from quartet_users.roles.role_domain import GranteeType, Role

ROLE_CREATED = "users.role.created.v1"

ROLE_UPDATED = "users.role.updated.v1"

ROLE_DELETED = "users.role.deleted.v1"

ROLE_GRANTED = "users.role.granted.v1"

ROLE_REVOKED = "users.role.revoked.v1"


def role_created(role: Role) -> DomainEvent:
    """A role was created."""
    return DomainEvent(ROLE_CREATED, f"roles/{role.id}", role.version, _role_facts(role))


def role_updated(before: Role, role: Role, changed: list[str]) -> DomainEvent:
    """A role was changed; `changed` names the fields."""
    old, new = ({**_role_facts(one), "description": one.description} for one in (before, role))
    data = {**_role_facts(role), "changed": changed, **changed_values(old, new, changed)}
    return DomainEvent(ROLE_UPDATED, f"roles/{role.id}", role.version, data)


def role_deleted(role: Role) -> DomainEvent:
    """A role was deleted with its grants."""
    return DomainEvent(ROLE_DELETED, f"roles/{role.id}", role.version + 1, _role_facts(role))


def role_granted(role: Role, version: int, grantee_type: GranteeType, grantee: UUID) -> DomainEvent:
    """A role was granted to a user or a group; `version` is the new version of the role."""
    return DomainEvent(ROLE_GRANTED, f"roles/{role.id}", version, _grant_facts(role, grantee_type, grantee))


def role_revoked(role: Role, version: int, grantee_type: GranteeType, grantee: UUID) -> DomainEvent:
    """A role was revoked from a user or a group; `version` is the new version of the role."""
    return DomainEvent(ROLE_REVOKED, f"roles/{role.id}", version, _grant_facts(role, grantee_type, grantee))


def _role_facts(role: Role) -> dict[str, Any]:
    return {"id": str(role.id), "name": role.name, "scopes": sorted(role.scopes)}


def _grant_facts(role: Role, grantee_type: GranteeType, grantee: UUID) -> dict[str, Any]:
    return {"id": str(role.id), "name": role.name, "grantee": str(grantee), "granteeType": grantee_type}
