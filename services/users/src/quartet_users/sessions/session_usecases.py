"""Use cases of sessions: list and end them; each opens the one transaction of its command."""

from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import MAX_ID
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.roles.privilege_usecases import require_platform_right
from quartet_users.sessions import session_ending, session_store
from quartet_users.sessions.session_store import Session

Container = AppContainer[UsersConfig]


async def list_sessions(
    container: Container, tenant: str, user_id: UUID, before: UUID = MAX_ID, count: int = 100
) -> list[Session]:
    """At most `count` running sessions of a user with ids before `before`, newest first."""
    async with container.database.connection() as connection:
        return await session_store.list_sessions(connection, tenant, user_id, container.clock(), before, count)


async def end_session(container: Container, caller: Caller, session_id: UUID, user_id: UUID | None) -> None:
    """End a session of `user_id`, or of any user of the tenant if it is None.

    Raises NotFoundError (404), and ForbiddenError (403) if only a platform administrator may end it.
    """
    async with unit_of_work(container, caller) as work:
        owner = user_id or await session_store.find_owner(work.connection, caller.tenant, session_id)
        if owner is not None and str(owner) != caller.actor:
            await require_platform_right(work.connection, caller, owner)
        if not await session_ending.end_session(work, session_id, user_id):
            raise NotFoundError


async def end_sessions(container: Container, caller: Caller, user_id: UUID) -> None:
    """End all sessions of a user.

    Raises NotFoundError (404) if the tenant has no such user, ForbiddenError (403) as `end_session` does.
    """
    async with unit_of_work(container, caller) as work:
        if not await session_store.lock_user_row(work.connection, caller.tenant, user_id):
            raise NotFoundError
        if str(user_id) != caller.actor:
            await require_platform_right(work.connection, caller, user_id)
        why = session_ending.by_whom(caller, user_id)
        await session_ending.end_sessions_of(work, user_id, why)


async def end_other_sessions(container: Container, caller: Caller, user_id: UUID, kept: UUID | None) -> None:
    """End all sessions of a user except `kept`. Raises ForbiddenError (403) as `end_session` does."""
    async with unit_of_work(container, caller) as work:
        if str(user_id) != caller.actor:
            await require_platform_right(work.connection, caller, user_id)
        why = session_ending.by_whom(caller, user_id)
        await session_ending.end_others(work, user_id, kept, why)
