"""The rules for roles: their scopes in each tenant, and who may change or grant them; no I/O."""

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
"""The maximum number of roles of a tenant."""
MAX_NAME = 128
MAX_DESCRIPTION = 1024


@dataclass(frozen=True)
class Role:
    """A named set of scopes. `version` counts its changes and grants; `modified` is the time of its last change."""

    id: UUID
    name: str
    description: str
    scopes: frozenset[str]
    version: int
    created: datetime
    modified: datetime


def scopes_of_tenant(tenant: str) -> frozenset[str]:
    """The scopes that a role of `tenant` can have: not that of services, and platform scopes in the platform only."""
    return SCOPES - {SERVICE_SCOPE} - (frozenset() if tenant == SYSTEM_TENANT else {PLATFORM_ADMIN})


def create(name: str, description: str, scopes: Iterable[str], now: datetime) -> Role:
    """A new role."""
    return Role(new_id(), name, description, frozenset(scopes), 1, now, now)


def change(
    role: Role, now: datetime, *, name: str | None, description: str | None, scopes: frozenset[str] | None
) -> tuple[Role, list[str]]:
    """`role` with the given values, and the names of changed fields; the same role if nothing changed."""
    given = {"name": name, "description": description, "scopes": scopes}
    changed = {key: value for key, value in given.items() if value is not None and value != getattr(role, key)}
    if not changed:
        return role, []
    return replace(role, version=role.version + 1, modified=now, **changed), list(changed)  # type: ignore[arg-type]  # by their names


def require_scopes(tenant: str, scopes: Iterable[str]) -> frozenset[str]:
    """The scopes of a new or changed role. Raises BadRequestError for none, and for one that no role can have there."""
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
    """Check that a caller with the scopes `own` may change or grant roles with the scopes `held`.

    A tenant administrator may grant all scopes of the tenant: it could create a client with them. Platform scopes can
    be granted and revoked only by a caller who has them. Raises ForbiddenError.
    """
    if PLATFORM_ADMIN not in own and any(PLATFORM_ADMIN in scopes for scopes in held):
        raise ForbiddenError(PLATFORM_ADMIN)
