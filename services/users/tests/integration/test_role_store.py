"""Roles as they are kept: names, grants that end with their user, and the scopes that follow."""

from uuid import UUID

import asyncpg
import pytest

from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import new_id
from quartet_testing.services import RunningService
from quartet_users.roles import grant_store, role_domain, role_store
from quartet_users.roles.role_domain import Role
from quartet_users.sessions import session_store
from quartet_users.users import user_store
from quartet_users.users.user_domain import User

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"


def role(name: str, *scopes: str) -> Role:
    return role_domain.create(name, "", scopes, utc_now())


async def insert(users: RunningService, tenant: str, name: str = "babs") -> UUID:
    user = User(new_id(), {"schemas": [CORE], "userName": name}, 1, utc_now(), utc_now())
    async with users.container.database.transaction() as connection:
        assert await user_store.insert_user(connection, tenant, user)
    return user.id


async def test_a_name_is_taken_once_whatever_its_case(users: RunningService, tenant: str) -> None:
    async with users.container.database.transaction() as connection:
        assert await role_store.insert_role(connection, tenant, role("Auditor", "audit:read"))
        assert not await role_store.insert_role(connection, tenant, role("AUDITOR", "audit:read"))
        assert await role_store.insert_role(connection, "another-tenant", role(tenant, "audit:read"))


async def test_a_grant_gives_scopes_is_made_once_and_ends_with_the_user(users: RunningService, tenant: str) -> None:
    user, auditor, now = await insert(users, tenant), role("Auditor", "audit:read", "audit:export"), utc_now()
    async with users.container.database.transaction() as connection:
        await role_store.insert_role(connection, tenant, auditor)
        assert await grant_store.grant(connection, tenant, auditor.id, "User", user, now, "hr")
        assert not await grant_store.grant(connection, tenant, auditor.id, "User", user, now, "hr")
        assert await role_store.scopes_of_user(connection, tenant, user) == auditor.scopes
        assert await role_store.scopes_of_user(connection, "another-tenant", user) == frozenset()
        await session_store.delete_user(connection, tenant, user)
        assert await connection.fetchval("SELECT count(*) FROM role_grants WHERE tenant_id = $1", tenant) == 0


@pytest.mark.parametrize("missing", ["user", "role"])
async def test_grants_of_missing_roles_or_to_missing_users_fail(
    users: RunningService, tenant: str, missing: str
) -> None:
    user, auditor = await insert(users, tenant), role("Auditor", "audit:read")
    wanted = {"user": (auditor.id, new_id()), "role": (new_id(), user)}[missing]
    async with users.container.database.transaction() as connection:
        await role_store.insert_role(connection, tenant, auditor)
    async with users.container.database.connection() as connection:
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await grant_store.grant(connection, tenant, wanted[0], "User", wanted[1], utc_now(), "hr")
