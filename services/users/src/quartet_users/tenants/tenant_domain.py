"""The rules for tenants: their changes and the events of these; no I/O, no await."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from quartet_common.auth.revocations import Revocation, revocation
from quartet_common.core.errors import ServiceError
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.messaging.outbox import DomainEvent
from quartet_users.roles import role_domain
from quartet_users.roles.role_domain import Role, scopes_of_tenant
from quartet_users.tenants import tenant_events

Status = Literal["active", "suspended", "deleted"]

ADMINISTRATOR = "administrator"
"""The name of the role that every tenant has from its beginning: all that somebody can have inside of it."""
TICK = timedelta(microseconds=1)


class TenantConflictError(ServiceError):
    """409: the tenant's id is taken, or its state does not allow what was asked for."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(409, code, detail)


@dataclass(frozen=True)
class Tenant:
    """A customer's whole directory; `modified` is when its name or status last changed."""

    id: str
    display_name: str
    status: Status
    version: int
    created: datetime
    modified: datetime


Change = tuple[Tenant, Sequence[DomainEvent], Sequence[Revocation]]
"""A tenant as it is from then on, its events, and which tokens end or begin to count again."""


def taken() -> TenantConflictError:
    """The error for an id that a tenant has, had, or must not have."""
    return TenantConflictError(
        "tenant_taken", "The id is used by a tenant, was used by a deleted tenant, or is reserved. Choose another id."
    )


def create(tenant: str, display_name: str, now: datetime) -> tuple[Tenant, Sequence[DomainEvent]]:
    """A new tenant and the event of it."""
    return Tenant(tenant, display_name, "active", 1, now, now), [tenant_events.tenant_created(tenant)]


def administrators(tenant: str, now: datetime) -> Role:
    """The role of those who administer the tenant."""
    return role_domain.create(ADMINISTRATOR, "All operations inside the tenant.", scopes_of_tenant(tenant), now)


def rename(tenant: Tenant, display_name: str, now: datetime) -> Change:
    """`tenant` with another name; the same and no event when it has that name."""
    _require_alive(tenant)
    if display_name == tenant.display_name:
        return tenant, [], []
    changed = _next(tenant, now, display_name=display_name)
    return changed, [tenant_events.tenant_updated(changed.id, changed.version, display_name)], []


def suspend(tenant: Tenant, now: datetime) -> Change:
    """`tenant` without access: all of its tokens are refused, whenever they were issued."""
    _require_customer(tenant)
    _require_alive(tenant)
    if tenant.status == "suspended":
        return tenant, [], []
    changed = _next(tenant, now, status="suspended")
    return changed, [tenant_events.tenant_suspended(changed.id, changed.version)], [_all_tokens(changed, endless=True)]


def resume(tenant: Tenant, now: datetime) -> Change:
    """`tenant` with access again: what was not revoked otherwise and has not expired counts again."""
    _require_alive(tenant)
    if tenant.status == "active":
        return tenant, [], []
    changed = _next(tenant, now, status="active")
    return changed, [tenant_events.tenant_resumed(changed.id, changed.version)], [_all_tokens(changed, endless=False)]


def delete(tenant: Tenant, now: datetime) -> Change:
    """The end of `tenant`, which nothing undoes; nothing if that was said already."""
    _require_customer(tenant)
    if tenant.status == "deleted":
        return tenant, [], []
    changed = _next(tenant, now, status="deleted", display_name="")
    return changed, [tenant_events.tenant_deleted(changed.id, changed.version)], [_all_tokens(changed, endless=True)]


def _next(tenant: Tenant, now: datetime, status: Status | None = None, display_name: str | None = None) -> Tenant:
    """The next version. It is always later than the one before, whatever the clocks of two machines say: of the
    revocations that follow from a tenant's states the latest counts.
    """
    return replace(
        tenant,
        version=tenant.version + 1,
        modified=max(now, tenant.modified + TICK),
        status=tenant.status if status is None else status,
        display_name=tenant.display_name if display_name is None else display_name,
    )


def _all_tokens(tenant: Tenant, *, endless: bool) -> Revocation:
    return revocation(tenant.id, "tenant", tenant.id, tenant.modified, endless=endless)


def _require_customer(tenant: Tenant) -> None:
    if tenant.id == SYSTEM_TENANT:
        raise TenantConflictError("platform_tenant", "The platform's own tenant cannot be suspended or deleted.")


def _require_alive(tenant: Tenant) -> None:
    if tenant.status == "deleted":
        raise TenantConflictError("tenant_deleted", "The tenant is deleted.")
