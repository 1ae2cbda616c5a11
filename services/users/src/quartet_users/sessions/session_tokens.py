"""Session tokens: begins and continues sessions, and makes their access and refresh tokens."""

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
from quartet_users.passwords.credential_store import Credential
from quartet_users.roles import role_store
from quartet_users.sessions import session_store
from quartet_users.sessions.session_store import Session, TokenHashes
from quartet_users.tokens.access_tokens import Grant, sign
from quartet_users.tokens.key_ring import KeyPair

T = TypeVar("T")
Container = AppContainer[UsersConfig]


@dataclass(frozen=True)
class Visitor:
    """The origin of a login."""

    client_id: str
    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True)
class TokenGrant:
    """A session and the content of its next tokens; `now` is the access token's time of issue."""

    tenant: str
    session: Session
    scopes: frozenset[str]
    now: datetime
    user_name: str
    refresh_token: str = field(repr=False)


@dataclass(frozen=True)
class Tokens:
    """The tokens that a login or a refresh returns; durations are in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)
    refresh_expires_in: int
    scope: str
    session_id: UUID
    user_id: UUID


async def run_session_command(container: Container, caller: Caller, command: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Run `command`, which begins or continues a session, while no transaction removes scopes from users of the tenant.

    Raises HeldError (503) if such a transaction takes too long, and what `Database.run` raises.
    """
    return await run_unit_of_work(container, caller, command, queue=f"scopes/{caller.tenant}")


async def begin_session(
    container: Container, connection: Connection, tenant: str, user: Credential, visitor: Visitor
) -> TokenGrant:
    """Begin a session of a user whose row is locked."""
    config, now = container.config, container.clock()
    expires = now + timedelta(seconds=config.session_lifetime)
    ends = min(expires, now + timedelta(seconds=config.session_idle))
    session = Session(
        new_id(), user.user_id, visitor.client_id, now, now, ends, expires, visitor.address, visitor.user_agent
    )
    await session_store.insert_session(connection, tenant, session)
    token = make(REFRESH_TOKEN, tenant)
    await session_store.insert_refresh_token(connection, tenant, TokenHashes.of(token), session.id, now)
    return await _token_grant(connection, tenant, session, user.user_name, token)


async def continue_session(
    container: Container, connection: Connection, tenant: str, session: Session, user_name: str, token: str
) -> TokenGrant:
    """The next tokens of a session whose row and user are locked, for its refresh `token`; extends the session."""
    now = container.clock()
    ends = min(session.expires_at, now + timedelta(seconds=container.config.session_idle))
    used = replace(session, last_used_at=now, ends_at=ends)
    await session_store.use_session(connection, tenant, used)
    following = make_next(family_of(token))
    hashes = TokenHashes.of(token), TokenHashes.of(following)
    await session_store.replace_refresh_token(connection, tenant, *hashes, now)
    return await _token_grant(connection, tenant, used, user_name, following)


async def _token_grant(
    connection: Connection, tenant: str, session: Session, user_name: str, refresh_token: str
) -> TokenGrant:
    scopes = await role_store.scopes_of_user(connection, tenant, session.user_id)
    return TokenGrant(tenant, session, scopes, session.last_used_at, user_name, refresh_token)


def make_tokens(container: Container, pair: KeyPair, grant: TokenGrant, audience: str = AUDIENCE) -> Tokens:
    """The signed tokens of a committed grant. `audience` is the `aud` of the access token; it ends with its session."""
    session, config = grant.session, container.config
    lifetime = min(config.token_lifetime, max(1, int((session.expires_at - grant.now).total_seconds())))
    content = Grant(
        session.client_id,
        grant.tenant,
        grant.scopes,
        session.user_id,
        session.id,
        session.created_at,
        audience,
        grant.user_name,
    )
    return Tokens(
        sign(content, pair, config.issuer, grant.now, lifetime),
        lifetime,
        grant.refresh_token,
        int((session.ends_at - grant.now).total_seconds()),
        " ".join(sorted(grant.scopes)),
        session.id,
        session.user_id,
    )
