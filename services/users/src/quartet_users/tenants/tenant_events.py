"""Events of tenants."""

from collections.abc import Mapping

from quartet_common.messaging.changed_values import changed_values
from quartet_common.messaging.event_types import TENANT_DELETED
from quartet_common.messaging.outbox import DomainEvent

TENANT_CREATED = "users.tenant.created.v1"

TENANT_UPDATED = "users.tenant.updated.v1"

TENANT_SUSPENDED = "users.tenant.suspended.v1"

TENANT_RESUMED = "users.tenant.resumed.v1"

TENANT_RESTORED = "users.tenant.restored.v1"


def tenant_created(tenant: str) -> DomainEvent:
    """A tenant was created."""
    return DomainEvent(TENANT_CREATED, f"tenants/{tenant}", 1, {"id": tenant})


def tenant_updated(tenant: str, version: int, before: str, display_name: str) -> DomainEvent:
    """A tenant was renamed; `before` is its earlier name."""
    changes = changed_values({"displayName": before}, {"displayName": display_name}, ["displayName"])
    data = {"id": tenant, "displayName": display_name, **changes}
    return DomainEvent(TENANT_UPDATED, f"tenants/{tenant}", version, data)


def tenant_suspended(tenant: str, version: int) -> DomainEvent:
    """A tenant was suspended: all its tokens are refused until it is resumed."""
    return DomainEvent(TENANT_SUSPENDED, f"tenants/{tenant}", version, {"id": tenant})


def tenant_resumed(tenant: str, version: int) -> DomainEvent:
    """A suspended tenant was resumed."""
    return DomainEvent(TENANT_RESUMED, f"tenants/{tenant}", version, {"id": tenant})


def tenant_deleted(tenant: str, version: int) -> DomainEvent:
    """A tenant was deleted; every service deletes its data."""
    return DomainEvent(TENANT_DELETED, f"tenants/{tenant}", version, {"id": tenant})


def tenant_restored(tenant: str, version: int, archive: str, counts: Mapping[str, int]) -> DomainEvent:
    """A tenant was restored from an archive, with so many lines of each kind."""
    data = {"id": tenant, "archive": archive, "counts": dict(counts)}
    return DomainEvent(TENANT_RESTORED, f"tenants/{tenant}", version, data)
