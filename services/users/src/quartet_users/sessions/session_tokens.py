"""Sessions: what a login begins, and how its tokens are made."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from quartet_common.auth.opaque_tokens import REFRESH_TOKEN, family_of, make, make_next
from quartet_common.auth.token_verifier import AUDIENCE
from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, run_unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.roles import role_store
from quartet_users.sessions import session_store
from quartet_users.sessions.session_store import Session, TokenHashes
from quartet_users.tokens.access_tokens import Grant, sign
from quartet_users.tokens.key_ring import KeyPair

T = TypeVar("T")
Container = AppContainer[UsersConfig]


@dataclass(frozen=True)
class Visitor:
    """From where somebody logs in."""

    client_id: str
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True)
class TokenGrant:
    """A session and what its next tokens are made of, as of `now`, the moment of the access token."""

    tenant: str
    session: Session
    scopes: frozenset[str]
    now: datetime
    refresh_token: str = field(repr=False)


@dataclass(frozen=True)
class Tokens:
    """What a login or a refresh is answered with; durations are seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)
    refresh_expires_in: int
    scope: str
    session_id: UUID
    user_id: UUID


async def in_turn(container: Container, caller: Caller, command: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Carry out `command`, which begins or goes on with a session, when nobody takes scopes from the tenant's people.

    Raises HeldError (503) where that lasts too long, and what `Database.run` does.
    """
    return await run_unit_of_work(container, caller, command, queue=f"scopes/{caller.tenant}")


async def begin(
    container: Container, connection: Connection, tenant: str, user_id: UUID, visitor: Visitor
) -> TokenGrant:
    """A new session of a user whose row is locked."""
    config, now = container.config, container.clock()
    expires = now + timedelta(seconds=config.session_lifetime)
    ends = min(expires, now + timedelta(seconds=config.session_idle))
    session = Session(
        new_id(), user_id, visitor.client_id, now, now, ends, expires, visitor.address, visitor.user_agent
    )
    await session_store.insert_session(connection, tenant, session)
    token = make(REFRESH_TOKEN, tenant)
    await session_store.insert_refresh_token(connection, tenant, TokenHashes.of(token), session.id, now)
    return await _turn(connection, tenant, session, token)


async def go_on(container: Container, connection: Connection, tenant: str, session: Session, token: str) -> TokenGrant:
    """The next tokens of a session whose row and user are locked, for its refresh `token`; used, it lasts longer."""
    now = container.clock()
    ends = min(session.expires_at, now + timedelta(seconds=container.config.session_idle))
    used = replace(session, last_used_at=now, ends_at=ends)
    await session_store.use_session(connection, tenant, used)
    following = make_next(family_of(token))
    hashes = TokenHashes.of(token), TokenHashes.of(following)
    await session_store.replace_refresh_token(connection, tenant, *hashes, now)
    return await _turn(connection, tenant, used, following)


async def _turn(connection: Connection, tenant: str, session: Session, refresh_token: str) -> TokenGrant:
    scopes = await role_store.scopes_of_user(connection, tenant, session.user_id)
    return TokenGrant(tenant, session, scopes, session.last_used_at, refresh_token)


def make_tokens(container: Container, pair: KeyPair, turn: TokenGrant, audience: str = AUDIENCE) -> Tokens:
    """The tokens of a turn that was committed. `audience` takes the access token, which ends with its session."""
    session, config = turn.session, container.config
    lifetime = min(config.token_lifetime, max(1, int((session.expires_at - turn.now).total_seconds())))
    grant = Grant(
        session.client_id, turn.tenant, turn.scopes, session.user_id, session.id, session.created_at, audience
    )
    return Tokens(
        sign(grant, pair, config.issuer, turn.now, lifetime),
        lifetime,
        turn.refresh_token,
        int((session.ends_at - turn.now).total_seconds()),
        " ".join(sorted(turn.scopes)),
        session.id,
        session.user_id,
    )
