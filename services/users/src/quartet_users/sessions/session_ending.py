"""The ends of sessions: rows that go, tokens that are refused from then on, and an event of each."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from quartet_common.auth.revocations import revocation
from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
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


async def end_session(work: UnitOfWork, session_id: UUID, user_id: UUID | None, why: EndReason | None = None) -> bool:
    """End a session, if it is of `user_id`, where one is given. Returns whether there was one."""
    found = await session_store.delete_session(work.connection, work.tenant, session_id, user_id)
    if found is None:
        return False
    revoke_sessions(work, [found], why or by_whom(work.caller, found.user_id))
    return True


async def end_sessions_of(work: UnitOfWork, user_id: UUID, why: EndReason) -> None:
    """End all sessions of a user, and have all tokens of the user refused by one revocation."""
    found = await session_store.delete_sessions_of(work.connection, work.tenant, user_id, None)
    revoke_user(work, user_id, found, why)


async def end_others(work: UnitOfWork, user_id: UUID, kept: UUID | None, why: EndReason) -> None:
    """End the sessions of a user but `kept`, each with its own tokens: others of the user stay valid."""
    found = await session_store.delete_sessions_of(work.connection, work.tenant, user_id, kept)
    revoke_sessions(work, found, why)


async def end_oldest(work: UnitOfWork, user_id: UUID) -> None:
    """End the sessions of a user beyond MAX_SESSIONS, so that what ends them all has a bound."""
    found = await session_store.delete_oldest_of(work.connection, work.tenant, user_id, MAX_SESSIONS)
    revoke_sessions(work, found, "superseded")


def revoke_user(work: UnitOfWork, user_id: UUID, ended: Sequence[Session], why: EndReason) -> None:
    """Refuse all tokens of a user whose sessions were removed, and publish the end of each session.

    A user without sessions has no access token either: none outlives its session, and the end of a session refuses
    its tokens.
    """
    if not ended:
        return
    # not before the last token was made, maybe by a process whose clock is ahead of ours
    at = max(work.now(), *(one.last_used_at for one in ended))
    _publish_ends(work, ended, why)
    revoke(work, [revocation(work.tenant, "subject", user_id, at)])


def revoke_sessions(work: UnitOfWork, ended: Sequence[Session], why: EndReason) -> None:
    """Refuse the tokens of sessions that were removed, and publish the end of each session."""
    if not ended:
        return
    now = work.now()  # later than any token of theirs: who makes one holds the session's row
    _publish_ends(work, ended, why)
    revoke(work, [revocation(work.tenant, "session", one.id, now) for one in ended])


async def prune(container: Container) -> None:
    """Remove the sessions that have expired, and publish the end of each. Their access tokens have expired before."""
    platform = Caller(SYSTEM_TENANT, container.config.client_id)
    while True:
        async with unit_of_work(container, platform) as work:
            ended = await session_store.delete_ended(work.connection, work.now(), PRUNED_AT_ONCE)
            for tenant in sorted({tenant for tenant, _ in ended}):
                some = [session for owner, session in ended if owner == tenant]
                _publish_ends(work.on_behalf_of(replace(platform, tenant=tenant)), some, "expired")
        if len(ended) < PRUNED_AT_ONCE:
            return


def _publish_ends(work: UnitOfWork, ended: Sequence[Session], why: EndReason) -> None:
    work.publish(session_events.session_ended(one.id, one.user_id, one.client_id, why) for one in ended)
