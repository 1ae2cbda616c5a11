"""Grants: what the token endpoint can be asked for, by `grant_type` (RFC 6749 section 4)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from quartet_common.auth.principal import ANY_TENANT
from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.messaging import outbox
from quartet_common.runtime.container import AppContainer
from quartet_common.web.guard import source_address
from quartet_common.web.service_request import stop_on_disconnect
from quartet_users.api_clients import api_client_events
from quartet_users.api_clients.authenticated_client import AuthenticatedClient
from quartet_users.config import UsersConfig
from quartet_users.errors import OAuthError
from quartet_users.oauth import client_credentials_grant
from quartet_users.oauth.oauth_parameters import Form
from quartet_users.oauth.refresh_token_grant import REFRESH, refresh
from quartet_users.sessions.session_tokens import Tokens
from quartet_users.tokens import access_tokens
from quartet_users.tokens.key_ring import KeyRing

CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True)
class Granted:
    """An access token of a client; `expires_in` is in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str


GrantHandler = Callable[[Form, AuthenticatedClient], Awaitable[Granted | Tokens]]
"""Answers a token request of a client that was authenticated; the form has no parameter twice but `resource`. Raises
OAuthError (400). There is one per grant_type, so that another flow is another entry of the table.
"""
Grants = Mapping[str, GrantHandler]


class ClientCredentials:
    """A token for the client itself (RFC 6749 section 4.4)."""

    def __init__(self, container: AppContainer[UsersConfig], keys: KeyRing) -> None:
        self._container = container
        self._keys = keys

    async def __call__(self, form: Form, client: AuthenticatedClient) -> Granted:
        """The token. Raises OAuthError (400)."""
        config = self._container.config
        audience = access_tokens.audience_of(config.issuer, form.getlist("resource"))
        grant = access_tokens.decide_grant(client, form.get("scope"), form.get("tenant"), audience)
        token_id = new_id()
        if grant.tenant != ANY_TENANT:
            await client_credentials_grant.demand_active(self._container, grant.tenant)
        if client.is_bootstrap and not client.is_service and grant.tenant != SYSTEM_TENANT:
            await self._tell(grant, str(token_id))
        pair = await self._keys.signing_pair()
        lifetime = _lifetime(config.token_lifetime, client)
        signed = access_tokens.sign(grant, pair, config.issuer, client.at, lifetime, token_id)
        return Granted(signed, lifetime, " ".join(sorted(grant.scopes)))

    async def _tell(self, grant: access_tokens.Grant, token_id: str) -> None:
        """Have it on record in a customer's own log that the installation's own client can act there."""
        caller = Caller(grant.tenant, grant.client_id, source_address())
        told = [api_client_events.token_issued(grant.client_id, grant.scopes, token_id)]
        async with self._container.database.transaction() as connection:
            service = self._container.config.service
            await outbox.add(connection, caller, told, now=self._container.clock(), service=service)


class RefreshTokens:
    """The next tokens of a person's session (RFC 6749 section 6)."""

    def __init__(self, container: AppContainer[UsersConfig], keys: KeyRing) -> None:
        self._container = container
        self._keys = keys

    async def __call__(self, form: Form, client: AuthenticatedClient) -> Tokens:
        """The tokens. Raises OAuthError (400)."""
        if not client.is_public:
            raise OAuthError("unauthorized_client", "Refresh tokens are for users of Quartet's own applications only.")
        stop_on_disconnect()  # a token whose successor nobody would receive is better not used up
        return await refresh(self._container, self._keys, form, source_address())


def grants(container: AppContainer[UsersConfig], keys: KeyRing) -> Grants:
    """All that there are."""
    return {CLIENT_CREDENTIALS: ClientCredentials(container, keys), REFRESH: RefreshTokens(container, keys)}


def _lifetime(longest: int, client: AuthenticatedClient) -> int:
    """Seconds that a token lives: not beyond the end of its client."""
    if client.expires_at is None:
        return longest
    return max(1, min(longest, int((client.expires_at - client.at).total_seconds())))
