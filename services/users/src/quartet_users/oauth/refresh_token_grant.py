"""The grant of refresh tokens (RFC 6749 section 6): each is used once, and one that comes again ends its session."""

from collections.abc import Mapping
from dataclasses import replace

from quartet_common.auth.opaque_tokens import REFRESH_TOKEN, tenant_of
from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.messaging.event_aggregation import ANONYMOUS
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_users.api_clients.authenticated_client import AuthenticatedClient
from quartet_users.config import UsersConfig
from quartet_users.errors import OAuthError
from quartet_users.oauth.oauth_parameters import Form, read_scope, require_parameter
from quartet_users.passwords import credential_store
from quartet_users.passwords.credential_store import Credential
from quartet_users.sessions import session_ending, session_store, session_tokens
from quartet_users.sessions.session_store import Session, TokenHashes
from quartet_users.sessions.session_tokens import TokenGrant, Tokens
from quartet_users.tokens import access_tokens, tenant_status_store
from quartet_users.tokens.key_ring import KeyRing

Container = AppContainer[UsersConfig]

REFRESH = "refresh_token"


async def refresh(container: Container, keys: KeyRing, form: Form, address: str | None) -> Tokens:
    """New tokens for the refresh token in `form`, with the scopes that the person has now, or those asked for of them.
    A `resource` makes an access token for that service alone (RFC 8707 section 2.2).

    Raises OAuthError `invalid_request`, `invalid_target`, `invalid_grant`, `invalid_scope`. A token that was used
    before is `invalid_grant`, and ends the session (RFC 9700 section 4.14.2): it was copied, and which of the
    two is the thief is unknown. That holds without grace, also for one whose answer was lost on the way: its person
    logs in again.
    """
    token = require_parameter(form, "refresh_token")
    audience = access_tokens.audience_of(container.config.issuer, form.getlist("resource"))
    tenant = tenant_of(REFRESH_TOKEN, token)
    pair = await keys.signing_pair()  # before the token is used up: what fails here can be tried again
    turn = None if tenant is None else await _turn(container, tenant, token, form, address)
    if turn is None:
        raise OAuthError("invalid_grant", "The refresh token is invalid, expired or already used. Log in again.")
    return session_tokens.make_tokens(container, pair, turn, audience)


async def _turn(
    container: Container, tenant: str, token: str, form: Mapping[str, str], address: str | None
) -> TokenGrant | None:
    """The session's next turn; None if there is none. What a reuse has ended is committed."""

    async def command(work: UnitOfWork) -> TokenGrant | None:
        connection = work.connection
        known = await session_store.find_refresh_token(connection, tenant, TokenHashes.of(token))
        if known is None:
            return None
        user = await credential_store.hold(connection, tenant, known["user_id"])
        session = await session_store.lock_session(connection, tenant, known["session_id"])
        if session is None or user is None:
            return None
        known = await session_store.find_refresh_token(connection, tenant, TokenHashes.of(token))  # as it is by now
        if known is None or not known["is_unused"]:
            own = work.on_behalf_of(Caller(tenant, str(user.user_id), address))
            await session_ending.end_session(own, session.id, None, "reuse")
            return None
        if await _is_good(container, connection, tenant, session, user, form):
            return await _next(container, connection, tenant, session, token, form)
        return None

    anonymous = Caller(tenant, ANONYMOUS, address)  # who it is, the token says
    return await session_tokens.in_turn(container, anonymous, command)


async def _is_good(
    container: Container,
    connection: Connection,
    tenant: str,
    session: Session,
    user: Credential,
    form: Mapping[str, str],
) -> bool:
    """Whether the session goes on; where not, the token is not used up, and a tenant may be resumed."""
    if session.client_id != form["client_id"] or session.ends_at <= container.clock() or not user.active:
        return False
    return await tenant_status_store.read_status(connection, tenant) == "active"


async def _next(
    container: Container, connection: Connection, tenant: str, session: Session, token: str, form: Mapping[str, str]
) -> TokenGrant:
    turn = await session_tokens.go_on(container, connection, tenant, session, token)
    wanted = read_scope(form["scope"]) if "scope" in form else frozenset()
    if wanted - turn.scopes:
        lacking = ", ".join(sorted(wanted - turn.scopes))[:200]
        raise OAuthError("invalid_scope", f"The user does not have the scopes: {lacking}.")
    return replace(turn, scopes=wanted) if wanted else turn


class RefreshTokens:
    """The next tokens of a person's session (RFC 6749 section 6)."""

    def __init__(self, container: AppContainer[UsersConfig], keys: KeyRing) -> None:
        self._container = container
        self._keys = keys

    async def __call__(self, form: Form, client: AuthenticatedClient, address: str | None) -> Tokens:
        """The tokens. Raises OAuthError (400)."""
        if not client.is_public:
            raise OAuthError("unauthorized_client", "Refresh tokens are for users of Quartet's own applications only.")
        return await refresh(self._container, self._keys, form, address)
