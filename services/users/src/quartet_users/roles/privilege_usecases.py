"""Privileges: a caller changes how a user logs in only with every scope that the user holds."""

from uuid import UUID

from quartet_common.auth.scopes import missing_scopes
from quartet_common.core.caller import Caller
from quartet_common.core.errors import MissingScopesError
from quartet_common.data.connections import Connection
from quartet_users.roles import role_domain, role_store


async def require_scopes_of_user(connection: Connection, caller: Caller, user_id: UUID) -> None:
    """Check that the caller has every scope that the user holds by roles. Raises MissingScopesError (403).

    Call it with the user's row locked by an earlier statement: granting a role to the user waits for that lock, so a
    grant that was committed before is seen, and a later one finds the change made.
    """
    if role_domain.scopes_of_tenant(caller.tenant) <= caller.scopes:
        return
    missing = missing_scopes(caller.scopes, await role_store.held_scopes(connection, caller.tenant, user_id))
    if missing:
        raise MissingScopesError(f"The user {user_id}", missing)


async def require_platform_right(connection: Connection, caller: Caller, user_id: UUID) -> None:
    """Check that only a platform administrator ends sessions of one. Raises ForbiddenError (403)."""
    role_domain.require_right(caller.scopes, await role_store.held_scopes(connection, caller.tenant, user_id))
