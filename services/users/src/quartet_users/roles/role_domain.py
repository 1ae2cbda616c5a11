"""The rules for roles: what a role is, which scopes it can hold in which tenant, and who may give them; no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from quartet_common.auth.scopes import PLATFORM_ADMIN, SCOPES, SERVICE_SCOPE
from quartet_common.core.errors import BadRequestError, ForbiddenError
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.core.validation_messages import shown

GranteeType = Literal["User", "Group"]

TENANT_ADMIN = "tenant:admin"
MAX_ROLES = 500
"""Roles that one tenant may have."""
MAX_NAME = 128
MAX_DESCRIPTION = 1024


@dataclass(frozen=True)
class Role:
    """A named set of scopes. `version` counts its changes and its grants; `modified` is when it last changed itself."""

    id: UUID
    name: str
    description: str
    scopes: frozenset[str]
    version: int
    created: datetime
    modified: datetime


def scopes_of_tenant(tenant: str) -> frozenset[str]:
    """The scopes that a role of `tenant` can hold: never those of services, those of the platform in its own only."""
    return SCOPES - {SERVICE_SCOPE} - (frozenset() if tenant == SYSTEM_TENANT else {PLATFORM_ADMIN})


def create(name: str, description: str, scopes: Iterable[str], now: datetime) -> Role:
    """A new role."""
    return Role(new_id(), name, description, frozenset(scopes), 1, now, now)


def change(
    role: Role, now: datetime, *, name: str | None, description: str | None, scopes: frozenset[str] | None
) -> tuple[Role, list[str]]:
    """`role` with what is given in place of its own, and the names of what differs; itself when nothing does."""
    given = {"name": name, "description": description, "scopes": scopes}
    changed = {key: value for key, value in given.items() if value is not None and value != getattr(role, key)}
    if not changed:
        return role, []
    return replace(role, version=role.version + 1, modified=now, **changed), list(changed)  # type: ignore[arg-type]  # by their names


def require_scopes(tenant: str, scopes: Iterable[str]) -> frozenset[str]:
    """The scopes of a role that is to be. Raises BadRequestError for none, and for one that no role there can hold."""
    wanted = frozenset(scopes)
    unknown = wanted - scopes_of_tenant(tenant)
    if not wanted or unknown:
        known = ", ".join(sorted(scopes_of_tenant(tenant)))
        raise BadRequestError(
            f"scopes must be a non-empty list of: {known}{'; got ' + shown(min(unknown)) if unknown else ''}.",
            "unknown_scope",
        )
    return wanted


def require_right(own: frozenset[str], *held: frozenset[str]) -> None:
    """Refuse who may not decide about roles with the scopes `held`, having its `own`.

    An administrator of a tenant decides about all of the tenant's scopes: it could make a client that has them. What
    reaches over all tenants is only for those to give and to take who have it. Raises ForbiddenError.
    """
    if PLATFORM_ADMIN not in own and any(PLATFORM_ADMIN in scopes for scopes in held):
        raise ForbiddenError(PLATFORM_ADMIN)
