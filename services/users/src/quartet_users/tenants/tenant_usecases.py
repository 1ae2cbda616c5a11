"""Use cases of tenants: one function per command; each opens the one transaction of its command."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_scim.normalise import Normalised
from quartet_users.api_clients.api_client_domain import NewClient
from quartet_users.api_clients.api_client_usecases import CreatedClient, add_client
from quartet_users.config import UsersConfig
from quartet_users.passwords import credential_store
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.roles import role_usecases
from quartet_users.roles.role_domain import Role
from quartet_users.scim_tokens.scim_token_domain import DEFAULT_SCOPES, NewScimToken
from quartet_users.scim_tokens.scim_token_usecases import add_scim_token
from quartet_users.tenants import tenant_domain, tenant_store
from quartet_users.tenants.tenant_domain import Change, Tenant
from quartet_users.tokens.token_revocation import revoke
from quartet_users.users import user_domain, user_store
from quartet_users.users.user_domain import User
from quartet_users.users.user_usecases import require_good_password

Container = AppContainer[UsersConfig]

PROVISIONING = "provisioning"
"""The name of the API client and of the SCIM token of a new tenant."""


@dataclass(frozen=True)
class NewTenant:
    """A tenant to create; `administrator` is its first user, with or without a password."""

    id: str
    display_name: str = ""
    administrator: Normalised | None = None


@dataclass(frozen=True)
class CreatedTenant:
    """A new tenant and its secrets, which are shown once; `password` only if it was generated."""

    tenant: Tenant
    client: CreatedClient
    scim_token: str = field(repr=False)
    administrator: User | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Administrator:
    user: User
    events: Sequence[DomainEvent]
    password_hash: str = field(repr=False)
    made_password: str | None = field(repr=False)


async def create_tenant(container: Container, passwords: Passwords, caller: Caller, wanted: NewTenant) -> CreatedTenant:
    """Create a tenant with its role, API client, SCIM token and first user in one transaction.

    Raises TenantConflictError (409), ScimError 400 for a password that the policy refuses.
    """
    now = container.clock()
    administrator = await _prepare(passwords, wanted, caller, now)
    async with unit_of_work(container, caller) as work:
        tenant = await _insert(work, wanted.id, wanted.display_name)
        if tenant is None:
            raise tenant_domain.taken()
        own = work.on_behalf_of(replace(caller, tenant=tenant.id))
        role = await _add_role(own)
        client = await add_client(own, NewClient(PROVISIONING, DEFAULT_SCOPES))
        token = await add_scim_token(own, NewScimToken(PROVISIONING, client_id=client.client.id))
        made = CreatedTenant(tenant, client, token.secret)
        if administrator is None:
            return made
        await _add_administrator(own, administrator, role)
    return replace(made, administrator=administrator.user, password=administrator.made_password)


async def ensure_first_tenants(container: Container) -> None:
    """Create the platform's tenant and those of the configuration if they never existed; not deleted ones."""
    caller = Caller.service(SYSTEM_TENANT, container.config.client_id)
    for tenant in (SYSTEM_TENANT, *container.config.bootstrap_tenants):
        async with unit_of_work(container, caller) as work:
            if await _insert(work, tenant, "") is not None:
                await _add_role(work.on_behalf_of(replace(caller, tenant=tenant)))


async def rename_tenant(container: Container, caller: Caller, tenant: str, display_name: str) -> Tenant:
    """Rename a tenant. Raises NotFoundError (404), TenantConflictError (409) for a deleted one."""
    return await _change(container, caller, tenant, lambda one, now: tenant_domain.rename(one, display_name, now))


async def suspend_tenant(container: Container, caller: Caller, tenant: str) -> Tenant:
    """Suspend a tenant: its tokens are refused. Raises NotFoundError (404), TenantConflictError (409)."""
    return await _change(container, caller, tenant, tenant_domain.suspend)


async def resume_tenant(container: Container, caller: Caller, tenant: str) -> Tenant:
    """Resume a suspended tenant: its tokens are accepted. Raises NotFoundError (404), TenantConflictError (409)."""
    return await _change(container, caller, tenant, tenant_domain.resume)


async def delete_tenant(container: Container, caller: Caller, tenant: str) -> Tenant:
    """Delete a tenant; its data is deleted in the background. Raises NotFoundError (404), TenantConflictError (409)."""
    return await _change(container, caller, tenant, tenant_domain.delete)


async def _prepare(passwords: Passwords, wanted: NewTenant, caller: Caller, now: datetime) -> _Administrator | None:
    """The first user with its password hash, which is made before the transaction."""
    sent = wanted.administrator
    if sent is None:
        return None
    given: Any = sent.secrets.get("password")
    password = given if isinstance(given, str) else secrets.token_urlsafe(24)
    require_good_password(passwords, password, str(sent.attributes["userName"]), wanted.id)
    user, events = user_domain.create(new_id(), sent.attributes, now)
    made = None if password == given else password
    return _Administrator(user, events, await passwords.hash(password, caller.tenant), made)


async def _insert(work: UnitOfWork, tenant: str, display_name: str) -> Tenant | None:
    """Store a new tenant; None if its id is taken."""
    made, events = tenant_domain.create(tenant, display_name, work.now())
    if not await tenant_store.insert_tenant(work.connection, made):
        return None
    if tenant != SYSTEM_TENANT:
        work.publish(events)
    return made


async def _add_role(work: UnitOfWork) -> Role:
    role = tenant_domain.administrators(work.tenant, work.now())
    await role_usecases.add_role(work, role)
    return role


async def _add_administrator(work: UnitOfWork, administrator: _Administrator, role: Role) -> None:
    user, connection, tenant = administrator.user, work.connection, work.tenant
    await user_store.insert_user(connection, tenant, user)
    await credential_store.set_password(connection, tenant, user.id, administrator.password_hash, user.modified)
    if administrator.made_password is not None:
        await credential_store.require_new_password(connection, tenant, user.id)
    work.publish(administrator.events)
    await role_usecases.add_grant(work, role, "User", user.id)


async def _change(
    container: Container, caller: Caller, tenant: str, change: Callable[[Tenant, datetime], Change]
) -> Tenant:
    async with unit_of_work(container, caller) as work:
        before = await tenant_store.lock_tenant(work.connection, tenant)
        if before is None:
            raise NotFoundError
        after, events, revocations = change(before, work.now())
        if events:
            await tenant_store.update_tenant(work.connection, after)
            work.publish(events)
            revoke(work, revocations)
            if after.status == "deleted":
                await tenant_deletion.record_tombstone(work.connection, after.id)
    return after
