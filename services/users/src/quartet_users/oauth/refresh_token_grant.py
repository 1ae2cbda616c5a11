"""The refresh token grant (RFC 6749 section 6): each token is used once; a second use ends the session."""

from collections.abc import Mapping
from dataclasses import replace

from quartet_common.auth.opaque_tokens import REFRESH_TOKEN, tenant_of
from quartet_common.core.caller import ANONYMOUS, USER, Caller, RequestOrigin
from quartet_common.data.connections import Connection
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


async def refresh(container: Container, keys: KeyRing, form: Form, origin: RequestOrigin) -> Tokens:
    """New tokens for the refresh token in `form`, with the present scopes of the user, or those of them in `scope`.
    `resource` restricts the access token to one service (RFC 8707 section 2.2).

    Raises OAuthError `invalid_request`, `invalid_target`, `invalid_grant`, `invalid_scope`. A token that was used
    before is `invalid_grant` and ends the session (RFC 9700 section 4.14.2), since one of its two users may be a thief.
    There is no grace period, also not after a lost response: the user logs in again.
    """
    token = require_parameter(form, "refresh_token")
    audience = access_tokens.audience_of(container.config.issuer, form.getlist("resource"))
    tenant = tenant_of(REFRESH_TOKEN, token)
    pair = await keys.signing_pair()  # before the token is used: a failure here can be retried
    grant = None if tenant is None else await _token_grant(container, tenant, token, form, origin)
    if grant is None:
        raise OAuthError("invalid_grant", "The refresh token is invalid, expired or already used. Log in again.")
    return session_tokens.make_tokens(container, pair, grant, audience)


async def _token_grant(
    container: Container, tenant: str, token: str, form: Mapping[str, str], origin: RequestOrigin
) -> TokenGrant | None:
    """The next tokens of the session; None for an invalid token. The end of a session by a reuse is committed."""

    async def command(work: UnitOfWork) -> TokenGrant | None:
        connection = work.connection
        known = await session_store.find_refresh_token(connection, tenant, TokenHashes.of(token))
        if known is None:
            return None
        user = await credential_store.lock_credential(connection, tenant, known["user_id"])
        session = await session_store.lock_session(connection, tenant, known["session_id"])
        if session is None or user is None:
            return None
        known = await session_store.find_refresh_token(connection, tenant, TokenHashes.of(token))  # now under the lock
        if known is None or not known["is_unused"]:
            who = replace(work.caller, actor=str(user.user_id), actor_name=user.user_name, actor_type=USER)
            await session_ending.end_session(work.on_behalf_of(who), session.id, None, "reuse")
            return None
        if await _is_good(container, connection, tenant, session, user, form):
            return await _next(container, connection, tenant, session, user.user_name, token, form)
        return None

    anonymous = Caller(  # the user is known once the token is found
        tenant, ANONYMOUS, origin.address, actor_type=ANONYMOUS, user_agent=origin.user_agent
    )
    return await session_tokens.run_session_command(container, anonymous, command)


async def _is_good(
    container: Container,
    connection: Connection,
    tenant: str,
    session: Session,
    user: Credential,
    form: Mapping[str, str],
) -> bool:
    """Whether the session may continue. If not, the token stays unused: a suspended tenant may be resumed."""
    if session.client_id != form["client_id"] or session.ends_at <= container.clock() or not user.active:
        return False
    return await tenant_status_store.read_status(connection, tenant) == "active"


async def _next(
    container: Container,
    connection: Connection,
    tenant: str,
    session: Session,
    user_name: str,
    token: str,
    form: Mapping[str, str],
) -> TokenGrant:
    grant = await session_tokens.continue_session(container, connection, tenant, session, user_name, token)
    wanted = read_scope(form["scope"]) if "scope" in form else frozenset()
    if wanted - grant.scopes:
        lacking = ", ".join(sorted(wanted - grant.scopes))[:200]
        raise OAuthError("invalid_scope", f"The user does not have the scopes: {lacking}.")
    return replace(grant, scopes=wanted) if wanted else grant


class RefreshTokens:
    """The handler of the grant type refresh_token (RFC 6749 section 6)."""

    def __init__(self, container: AppContainer[UsersConfig], keys: KeyRing) -> None:
        self._container = container
        self._keys = keys

    async def __call__(self, form: Form, client: AuthenticatedClient, origin: RequestOrigin) -> Tokens:
        """Issue the next tokens of a session. Raises OAuthError (400)."""
        if not client.is_public:
            raise OAuthError("unauthorized_client", "Refresh tokens are for users of Quartet's own applications only.")
        return await refresh(self._container, self._keys, form, origin)
