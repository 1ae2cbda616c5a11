"""The grant types of the token endpoint and their handlers (RFC 6749 section 4)."""

from collections.abc import Awaitable, Callable

from quartet_common.core.caller import RequestOrigin
from quartet_common.runtime.container import AppContainer
from quartet_users.api_clients.authenticated_client import AuthenticatedClient
from quartet_users.config import UsersConfig
from quartet_users.oauth.client_credentials_grant import CLIENT_CREDENTIALS, ClientCredentials, Granted
from quartet_users.oauth.oauth_parameters import Form
from quartet_users.oauth.refresh_token_grant import REFRESH, RefreshTokens
from quartet_users.sessions.session_tokens import Tokens
from quartet_users.tokens.key_ring import KeyRing

GrantHandler = Callable[[Form, AuthenticatedClient, RequestOrigin], Awaitable[Granted | Tokens]]
"""Handles a token request of an authenticated client; only `resource` may be twice in the form.

Raises OAuthError (400).
"""


class Grants(dict[str, GrantHandler]):
    """The handler of each grant_type."""

    @classmethod
    def of(cls, container: AppContainer[UsersConfig], keys: KeyRing) -> "Grants":
        """All grant types."""
        return cls({CLIENT_CREDENTIALS: ClientCredentials(container, keys), REFRESH: RefreshTokens(container, keys)})
