"""Ends sessions: deletes their rows, revokes their tokens and publishes an event for each."""

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
"""Sessions of one user. The next login ends the oldest one, as of a script that logs in each time."""


def by_whom(caller: Caller, user_id: UUID) -> EndReason:
    """The reason of a session's end by `caller`: logout by its own user, revoked by others."""
    return "logout" if caller.actor == str(user_id) else "revoked"


async def end_session(work: UnitOfWork, session_id: UUID, user_id: UUID | None, why: EndReason | None = None) -> bool:
    """End a session, if it belongs to `user_id` (None: to any user). Returns whether it existed."""
    found = await session_store.delete_session(work.connection, work.tenant, session_id, user_id)
    if found is None:
        return False
    revoke_sessions(work, [found], why or by_whom(work.caller, found.user_id))
    return True


async def end_sessions_of(work: UnitOfWork, user_id: UUID, why: EndReason) -> None:
    """End all sessions of a user, and revoke all tokens of the user by one revocation."""
    found = await session_store.delete_sessions_of(work.connection, work.tenant, user_id, None)
    revoke_user(work, user_id, found, why)


async def end_others(work: UnitOfWork, user_id: UUID, kept: UUID | None, why: EndReason) -> None:
    """End the sessions of a user except `kept`, with a revocation each, so that the tokens of `kept` stay valid."""
    found = await session_store.delete_sessions_of(work.connection, work.tenant, user_id, kept)
    revoke_sessions(work, found, why)


async def end_oldest(work: UnitOfWork, user_id: UUID) -> None:
    """End the oldest sessions of a user beyond MAX_SESSIONS, so that ending all of them has a limited cost."""
    found = await session_store.delete_oldest_of(work.connection, work.tenant, user_id, MAX_SESSIONS)
    revoke_sessions(work, found, "superseded")


def revoke_user(work: UnitOfWork, user_id: UUID, ended: Sequence[Session], why: EndReason) -> None:
    """Revoke all tokens of a user whose sessions were deleted, and publish the end of each session.

    A user without sessions has no valid access tokens: none outlives its session, and the end of a session revokes its
    tokens.
    """
    if not ended:
        return
    # not before the last token was issued, maybe by a process whose clock is ahead of this one's
    at = max(work.now(), *(one.last_used_at for one in ended))
    _publish_ends(work, ended, why)
    revoke(work, [revocation(work.tenant, "subject", user_id, at)])


def revoke_sessions(work: UnitOfWork, ended: Sequence[Session], why: EndReason) -> None:
    """Revoke the tokens of deleted sessions, and publish the end of each session."""
    if not ended:
        return
    now = work.now()  # later than all their tokens, which are issued with the session's row locked
    _publish_ends(work, ended, why)
    revoke(work, [revocation(work.tenant, "session", one.id, now) for one in ended])


async def prune(container: Container) -> None:
    """Delete expired sessions and publish the end of each; their access tokens have expired before."""
    platform = Caller.service(SYSTEM_TENANT, container.config.client_id)
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
