"""The ends of sessions: rows that go, tokens that are refused from then on, and an event of each."""

from collections.abc import Sequence
from uuid import UUID

from quartet_common.auth.revocations import revocation
from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging import outbox
from quartet_common.runtime.container import AppContainer
from quartet_users.config import UsersConfig
from quartet_users.sessions import session_events, session_store
from quartet_users.sessions.session_events import EndReason
from quartet_users.sessions.session_store import Session
from quartet_users.tokens.token_revocation import revoke

Container = AppContainer[UsersConfig]

PRUNED_AT_ONCE = 500
MAX_SESSIONS = 100
"""Sessions of one user; who begins more, as a script may that logs in each time, loses the oldest."""


def by_whom(caller: Caller, user_id: UUID) -> EndReason:
    """Why a session ends that `caller` ends: its own person logs out, others take it away."""
    return "logout" if caller.actor == str(user_id) else "revoked"


async def end_session(
    container: Container,
    connection: Connection,
    caller: Caller,
    session_id: UUID,
    user_id: UUID | None,
    why: EndReason | None = None,
) -> bool:
    """End a session, if it is of `user_id`, where one is given. Returns whether there was one."""
    found = await session_store.delete_session(connection, caller.tenant, session_id, user_id)
    if found is None:
        return False
    await tell_ended(container, connection, caller, [found], why or by_whom(caller, found.user_id))
    return True


async def end_sessions_of(
    container: Container, connection: Connection, caller: Caller, user_id: UUID, why: EndReason
) -> None:
    """End all sessions of a user, and have all tokens of the user refused by one revocation."""
    found = await session_store.delete_sessions_of(connection, caller.tenant, user_id, None)
    await tell_user_ended(container, connection, caller, user_id, found, why)


async def end_others(
    container: Container, connection: Connection, caller: Caller, user_id: UUID, kept: UUID | None, why: EndReason
) -> None:
    """End the sessions of a user but `kept`, each with its own tokens: others of the user stay valid."""
    found = await session_store.delete_sessions_of(connection, caller.tenant, user_id, kept)
    await tell_ended(container, connection, caller, found, why)


async def end_oldest(container: Container, connection: Connection, caller: Caller, user_id: UUID) -> None:
    """End the sessions of a user beyond MAX_SESSIONS, so that what ends them all has a bound."""
    found = await session_store.delete_oldest_of(connection, caller.tenant, user_id, MAX_SESSIONS)
    await tell_ended(container, connection, caller, found, "superseded")


async def tell_user_ended(
    container: Container,
    connection: Connection,
    caller: Caller,
    user_id: UUID,
    ended: Sequence[Session],
    why: EndReason,
) -> None:
    """Refuse all tokens of a user whose sessions were removed, and tell of each.

    A user without sessions has no access token either: none outlives its session, and who ends one refuses them.
    """
    if not ended:
        return
    # not before the last token was made, maybe by a process whose clock is ahead of ours
    at = max(container.clock(), *(one.last_used_at for one in ended))
    await _tell(container, connection, caller, ended, why)
    await revoke(container, connection, caller, [revocation(caller.tenant, "subject", user_id, at)])


async def tell_ended(
    container: Container, connection: Connection, caller: Caller, ended: Sequence[Session], why: EndReason
) -> None:
    """Refuse the tokens of sessions that were removed, and tell of each."""
    if not ended:
        return
    now = container.clock()  # later than any token of theirs: who makes one holds the session's row
    refused = [revocation(caller.tenant, "session", one.id, now) for one in ended]
    await _tell(container, connection, caller, ended, why)
    await revoke(container, connection, caller, refused)


async def prune(container: Container) -> None:
    """Remove the sessions whose time is over, and tell of each. Their access tokens have expired before."""
    while True:
        async with container.database.transaction() as connection:
            ended = await session_store.delete_ended(connection, container.clock(), PRUNED_AT_ONCE)
            for tenant in sorted({tenant for tenant, _ in ended}):
                caller = Caller(tenant, container.config.client_id)
                some = [session for owner, session in ended if owner == tenant]
                await _tell(container, connection, caller, some, "expired")
        if len(ended) < PRUNED_AT_ONCE:
            return


async def _tell(
    container: Container, connection: Connection, caller: Caller, ended: Sequence[Session], why: EndReason
) -> None:
    told = [session_events.session_ended(one.id, one.user_id, one.client_id, why) for one in ended]
    await outbox.add(connection, caller, told, now=container.clock(), service=container.config.service)
