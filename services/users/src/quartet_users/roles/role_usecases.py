"""Use cases of roles and grants: one function per command; each opens its unit of work, or uses that of its caller."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.errors import BadRequestError, NotFoundError, ServiceError
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, run_unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.groups_client import GroupDirectory
from quartet_users.memberships import membership_store
from quartet_users.memberships.membership_domain import KnownGroup
from quartet_users.roles import grant_store, role_domain, role_events, role_store
from quartet_users.roles.role_domain import TENANT_ADMIN, GranteeType, Role
from quartet_users.roles.scope_revocation import revoking_lost_scopes

T = TypeVar("T")
Container = AppContainer[UsersConfig]


@dataclass(frozen=True)
class Decider:
    """The caller who changes or grants roles, and the scopes of the caller's token."""

    caller: Caller
    scopes: frozenset[str]


@dataclass(frozen=True)
class RoleChange:
    """The new values of a role; None for unchanged ones."""

    name: str | None = None
    description: str | None = None
    scopes: frozenset[str] | None = None


class NameTakenError(ServiceError):
    """409: another role of the tenant has the name, in any case."""

    def __init__(self) -> None:
        super().__init__(409, "name_taken", "The name is already used by another role of the tenant.")


class LastAdministratorError(ServiceError):
    """409: no tenant administrator would be left."""

    def __init__(self) -> None:
        super().__init__(
            409,
            "last_administrator",
            f"No active user would have {TENANT_ADMIN} any more. Grant it to another user first.",
        )


async def create_role(container: Container, who: Decider, role: Role) -> Role:
    """Create a role. Raises BadRequestError 400, ForbiddenError 403, ServiceError 409 for a taken name or too many."""
    tenant = who.caller.tenant
    role_domain.require_scopes(tenant, role.scopes)
    role_domain.require_right(who.scopes, role.scopes)

    async def command(work: UnitOfWork) -> None:
        if await role_store.count_roles(work.connection, tenant) >= role_domain.MAX_ROLES:
            raise ServiceError(
                409, "too_many_roles", f"A tenant has at most {role_domain.MAX_ROLES} roles. Delete one first."
            )
        await add_role(work, role)

    await _decide(container, who.caller, command)
    return role


async def add_role(work: UnitOfWork, role: Role) -> None:
    """Create a role. Raises NameTakenError."""
    if not await role_store.insert_role(work.connection, work.tenant, role):
        raise NameTakenError
    work.publish([role_events.role_created(role)])


async def change_role(container: Container, who: Decider, role_id: UUID, wanted: RoleChange) -> Role:
    """Change a role; revokes the tokens of users who lose a scope.

    Raises NotFoundError 404, BadRequestError 400, ForbiddenError 403, ServiceError 409.
    """
    tenant = who.caller.tenant
    scopes = None if wanted.scopes is None else role_domain.require_scopes(tenant, wanted.scopes)

    async def command(work: UnitOfWork) -> Role:
        before = await _known(work.connection, who, role_id)
        role_domain.require_right(who.scopes, before.scopes, scopes or frozenset())
        role, changed = role_domain.change(
            before, work.now(), name=wanted.name, description=wanted.description, scopes=scopes
        )
        if changed:
            async with _taking(work, before, before.scopes - role.scopes):
                if not await role_store.update_role(work.connection, tenant, role):
                    raise NameTakenError
            work.publish([role_events.role_updated(before, role, changed)])
        return role

    return await _decide(container, who.caller, command)


async def delete_role(container: Container, who: Decider, role_id: UUID) -> None:
    """Delete a role and its grants. Raises NotFoundError 404, ForbiddenError 403, LastAdministratorError 409."""

    async def command(work: UnitOfWork) -> None:
        role = await _known(work.connection, who, role_id)
        async with _taking(work, role, role.scopes):
            await role_store.delete_role(work.connection, who.caller.tenant, role_id)
        work.publish([role_events.role_deleted(role)])

    await _decide(container, who.caller, command)


async def give_role(
    container: Container, groups: GroupDirectory, who: Decider, role_id: UUID, kind: GranteeType, grantee: UUID
) -> bool:
    """Grant a role to a user or a group of the tenant; False if the grantee has it.

    The groups service marks a group first, so that changes of its members are checked from the moment of the grant; if
    groups does not answer, nothing is granted. Raises NotFoundError 404, BadRequestError 400 `unknown_grantee`,
    ForbiddenError 403, UnavailableError 503.
    """
    names = await groups.mark(who.caller, [grantee]) if kind == "Group" else {}

    async def command(work: UnitOfWork) -> bool:
        role = await _known(work.connection, who, role_id)
        await _require_grantee(work.connection, who.caller.tenant, kind, grantee, names.get(grantee))
        return await add_grant(work, role, kind, grantee)

    return await _decide(container, who.caller, command)


async def add_grant(work: UnitOfWork, role: Role, kind: GranteeType, grantee: UUID) -> bool:
    """Grant a role to an existing user or group; False if it has the role."""
    connection, tenant = work.connection, work.tenant
    if not await grant_store.grant(connection, tenant, role.id, kind, grantee, work.now(), work.caller.actor):
        return False
    version = await role_store.count_change(connection, tenant, role.id)
    work.publish([role_events.role_granted(role, version, kind, grantee)])
    return True


async def take_role(container: Container, who: Decider, role_id: UUID, grantee: UUID) -> None:
    """Revoke a grant of a role. Raises NotFoundError 404, ForbiddenError 403, LastAdministratorError 409."""
    tenant = who.caller.tenant

    async def command(work: UnitOfWork) -> None:
        role = await _known(work.connection, who, role_id)
        kind = await grant_store.find_grantee(work.connection, tenant, role_id, grantee)
        if kind is None:
            raise NotFoundError
        async with _taking(work, role, role.scopes, grantee):
            await grant_store.revoke(work.connection, tenant, role_id, grantee)
        version = await role_store.count_change(work.connection, tenant, role_id)
        work.publish([role_events.role_revoked(role, version, kind, grantee)])

    await _decide(container, who.caller, command)


async def _decide(container: Container, caller: Caller, command: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Run `command` with the roles and grants of the tenant locked."""

    async def locked(work: UnitOfWork) -> T:
        await role_store.lock_grants(work.connection, caller.tenant)
        return await command(work)

    return await run_unit_of_work(container, caller, locked, queue=f"grants/{caller.tenant}")


async def _known(connection: Connection, who: Decider, role_id: UUID) -> Role:
    role = await role_store.read_role(connection, who.caller.tenant, role_id)
    if role is None:
        raise NotFoundError
    role_domain.require_right(who.scopes, role.scopes)
    return role


@asynccontextmanager
async def _taking(
    work: UnitOfWork, role: Role, lost: frozenset[str], grantee: UUID | None = None
) -> AsyncIterator[None]:
    """Revoke the tokens of users who lose the scopes `lost` of a role by the change in this block.

    It affects all grantees of the role, or one `grantee`. Raises LastAdministratorError.
    """
    if not lost:
        yield
        return
    connection, tenant = work.connection, work.tenant
    guarded = TENANT_ADMIN in lost and await grant_store.has_administrator(connection, tenant)
    given = await grant_store.read_grantees(connection, tenant, role.id, grantee)
    users, groups = given["User"], given["Group"]
    async with revoking_lost_scopes(work, users=users, groups=groups, scopes=lost):
        yield
        if guarded and not await grant_store.has_administrator(connection, tenant):
            raise LastAdministratorError


async def _require_grantee(
    connection: Connection, tenant: str, kind: GranteeType, grantee: UUID, name: str | None
) -> None:
    """Lock the grantee until the transaction ends; `name` is the name of a group that the groups service has marked.

    Raises BadRequestError if the grantee does not exist.
    """
    if kind == "User":
        is_there = await grant_store.lock_grantee_user(connection, tenant, grantee)
    else:
        if name is not None:  # version 0: every event of the group is newer
            await membership_store.upsert_groups(
                connection, tenant, [KnownGroup(grantee, 0, deleted=False, display=name)]
            )
        is_there = bool(await grant_store.lock_grantee_group(connection, tenant, grantee))
    if not is_there:
        raise BadRequestError(f"id: there is no {kind.lower()} with this id.", "unknown_grantee")
