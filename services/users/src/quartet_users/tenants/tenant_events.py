"""Events of tenants."""

from quartet_common.messaging.event_types import TENANT_DELETED
from quartet_common.messaging.outbox import DomainEvent

TENANT_CREATED = "users.tenant.created.v1"

TENANT_UPDATED = "users.tenant.updated.v1"

TENANT_SUSPENDED = "users.tenant.suspended.v1"

TENANT_RESUMED = "users.tenant.resumed.v1"


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
