"""The rules for tenants: the effect of each command on a tenant, its events and revocations; no I/O."""

from collections.abc import Mapping, Sequence
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
"""The name of the role that every new tenant has, with all scopes of the tenant."""
TICK = timedelta(microseconds=1)


class TenantConflictError(ServiceError):
    """409: the tenant's id is taken, or its status does not allow the change."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(409, code, detail)


@dataclass(frozen=True)
class Tenant:
    """The directory of one customer; `modified` is the last change of its name or status."""

    id: str
    display_name: str
    status: Status
    version: int
    created: datetime
    modified: datetime


Change = tuple[Tenant, Sequence[DomainEvent], Sequence[Revocation]]
"""The changed tenant, the events, and the revocations that refuse or accept its tokens."""


def taken() -> TenantConflictError:
    """The error for an id of another tenant, of a deleted one, or a reserved id."""
    return TenantConflictError(
        "tenant_taken", "The id is used by a tenant, was used by a deleted tenant, or is reserved. Choose another id."
    )


def create(tenant: str, display_name: str, now: datetime) -> tuple[Tenant, Sequence[DomainEvent]]:
    """A new tenant and its event."""
    return Tenant(tenant, display_name, "active", 1, now, now), [tenant_events.tenant_created(tenant)]


def administrators(tenant: str, now: datetime) -> Role:
    """The role of tenant administrators."""
    return role_domain.create(ADMINISTRATOR, "All operations inside the tenant.", scopes_of_tenant(tenant), now)


def rename(tenant: Tenant, display_name: str, now: datetime) -> Change:
    """`tenant` with another name; no change and no event if it has the name."""
    _require_alive(tenant)
    if display_name == tenant.display_name:
        return tenant, [], []
    changed = _next(tenant, now, display_name=display_name)
    updated = tenant_events.tenant_updated(changed.id, changed.version, tenant.display_name, display_name)
    return changed, [updated], []


def suspend(tenant: Tenant, now: datetime) -> Change:
    """`tenant` suspended: all its tokens are refused, also those issued later."""
    _require_customer(tenant)
    _require_alive(tenant)
    if tenant.status == "suspended":
        return tenant, [], []
    changed = _next(tenant, now, status="suspended")
    return changed, [tenant_events.tenant_suspended(changed.id, changed.version)], [_all_tokens(changed, endless=True)]


def resume(tenant: Tenant, now: datetime) -> Change:
    """`tenant` active again: its tokens are accepted unless they are expired or revoked otherwise."""
    _require_alive(tenant)
    if tenant.status == "active":
        return tenant, [], []
    changed = _next(tenant, now, status="active")
    return changed, [tenant_events.tenant_resumed(changed.id, changed.version)], [_all_tokens(changed, endless=False)]


def delete(tenant: Tenant, now: datetime) -> Change:
    """`tenant` deleted, which cannot be undone; no change and no event if it was deleted before."""
    _require_customer(tenant)
    if tenant.status == "deleted":
        return tenant, [], []
    changed = _next(tenant, now, status="deleted", display_name="")
    return changed, [tenant_events.tenant_deleted(changed.id, changed.version)], [_all_tokens(changed, endless=True)]


def restore(
    tenant: Tenant, archive: str, counts: Mapping[str, int]
) -> tuple[Sequence[DomainEvent], Sequence[Revocation]]:
    """The event of `tenant`, restored from `archive` with `counts` lines of each kind; a suspended one stays so."""
    revocations = [_all_tokens(tenant, endless=True)] if tenant.status == "suspended" else []
    return [tenant_events.tenant_restored(tenant.id, tenant.version, archive, counts)], revocations


def _next(tenant: Tenant, now: datetime, status: Status | None = None, display_name: str | None = None) -> Tenant:
    """The next version. Its time is always later than the previous one, also if clocks differ: the latest revocation of
    a tenant wins.
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
