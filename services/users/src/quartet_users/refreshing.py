"""The grant of refresh tokens (RFC 6749 section 6): each is used once, and one that comes again ends its session."""

from dataclasses import dataclass, field, replace

from quartet_common.auth.guard import source_address
from quartet_common.auth.opaque import REFRESH_TOKEN, tenant_of
from quartet_common.container import AppContainer
from quartet_common.database import Connection
from quartet_common.messaging.outbox import Caller
from quartet_users import credential_store, session_ends, session_store, sessions, tenant_store
from quartet_users.authenticated import AuthenticatedClient
from quartet_users.config import UsersConfig
from quartet_users.credential_store import Credential
from quartet_users.errors import OAuthError
from quartet_users.grants import Form
from quartet_users.keys import KeyRing
from quartet_users.session_store import Session
from quartet_users.sessions import Turn, digest
from quartet_users.token_answers import LoginDocument

Container = AppContainer[UsersConfig]

REFRESH = "refresh_token"


@dataclass(frozen=True)
class Asked:
    """A refresh as it is asked for; without `scopes` all that the person has."""

    tenant: str
    token: str = field(repr=False)
    client_id: str
    scopes: frozenset[str]
    address: str | None


class Refreshing:
    """The next tokens of a session, with the scopes that the person has now, or those asked for of them."""

    def __init__(self, container: Container, keys: KeyRing) -> None:
        self._container = container
        self._keys = keys

    async def __call__(self, form: Form, client: AuthenticatedClient) -> LoginDocument:
        """The tokens. Raises OAuthError `invalid_request`, `invalid_grant`, `invalid_scope`.

        A token that was used before is `invalid_grant`, and ends the session (RFC 9700 section 4.14.2): it was copied,
        and nobody can tell which of the two is the thief. That holds without grace, also for one whose answer was lost
        on the way: its person logs in again.
        """
        token = form.get("refresh_token", "")
        if not token:
            raise OAuthError("invalid_request", "refresh_token must be given.")
        tenant = tenant_of(REFRESH_TOKEN, token)
        wanted = frozenset(form.get("scope", "").split())
        asked = None if tenant is None else Asked(tenant, token, client.id, wanted, source_address())
        turn = None if asked is None else await _turn(self._container, asked)
        if turn is None:
            raise OAuthError("invalid_grant", "The refresh token is not valid, or not any more.")
        return LoginDocument.of(await sessions.make_tokens(self._container, self._keys, turn))


async def _turn(container: Container, asked: Asked) -> Turn | None:
    """The session's next turn; None if there is none. What a reuse has ended is committed."""
    tenant, hashed = asked.tenant, digest(asked.token)
    async with container.database.transaction() as connection:
        known = await session_store.find_refresh_token(connection, tenant, hashed)
        if known is None:
            return None
        user = await credential_store.hold(connection, tenant, known["user_id"])
        session = await session_store.lock_session(connection, tenant, known["session_id"])
        if session is None or user is None:
            return None
        if await session_store.is_unused(connection, tenant, hashed):
            good = await _is_good(container, connection, asked, session, user)
            return await _next(container, connection, asked, session) if good else None
        caller = Caller(tenant, str(user.user_id), asked.address)
        refused = await session_ends.end_session(container, connection, caller, session.id, None, "reuse")
    container.revocations.add(refused)
    return None


async def _is_good(
    container: Container, connection: Connection, asked: Asked, session: Session, user: Credential
) -> bool:
    """Whether the session goes on; where not, the token is not used up, and a tenant may be resumed."""
    if session.client_id != asked.client_id or session.ends_at <= container.clock() or not user.active:
        return False
    return await tenant_store.read_status(connection, asked.tenant) == "active"


async def _next(container: Container, connection: Connection, asked: Asked, session: Session) -> Turn:
    await session_store.use_refresh_token(connection, asked.tenant, digest(asked.token), container.clock())
    turn = await sessions.go_on(container, connection, asked.tenant, session)
    if asked.scopes - turn.scopes:
        lacking = ", ".join(sorted(asked.scopes - turn.scopes))[:200]
        raise OAuthError("invalid_scope", f"The person does not have: {lacking}.")
    return replace(turn, scopes=asked.scopes) if asked.scopes else turn
