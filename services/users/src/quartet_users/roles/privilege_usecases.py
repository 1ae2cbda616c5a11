"""Privileges: a caller needs every scope that a user has by roles to change how the user logs in."""

from uuid import UUID

from quartet_common.auth.scopes import missing_scopes
from quartet_common.core.caller import Caller
from quartet_common.core.errors import MissingScopesError
from quartet_common.data.connections import Connection
from quartet_users.roles import role_domain, role_store


async def require_scopes_of_user(connection: Connection, caller: Caller, user_id: UUID) -> None:
    """Check that the caller has every scope that the user has by roles. Raises MissingScopesError (403).

    The user's row must be locked by an earlier statement: a grant to the user waits for that lock, so this check sees
    all grants committed before, and later ones come after the change.
    """
    if role_domain.scopes_of_tenant(caller.tenant) <= caller.scopes:
        return
    missing = missing_scopes(caller.scopes, await role_store.held_scopes(connection, caller.tenant, user_id))
    if missing:
        raise MissingScopesError(f"The user {user_id}", missing)


async def require_platform_right(connection: Connection, caller: Caller, user_id: UUID) -> None:
    """Check that a platform administrator's sessions are ended by another one only. Raises ForbiddenError (403)."""
    role_domain.require_right(caller.scopes, await role_store.held_scopes(connection, caller.tenant, user_id))
