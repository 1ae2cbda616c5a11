"""The client credentials grant (RFC 6749 section 4.4)."""

from dataclasses import dataclass, field

from quartet_common.auth.principal import ANY_TENANT
from quartet_common.auth.scopes import PLATFORM_ADMIN, SERVICE_SCOPE
from quartet_common.core.caller import CLIENT, Caller, RequestOrigin
from quartet_common.core.identifiers import SYSTEM_TENANT, TENANT_ID, new_id
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_users.api_clients import api_client_events
from quartet_users.api_clients.authenticated_client import AuthenticatedClient
from quartet_users.config import UsersConfig
from quartet_users.errors import OAuthError
from quartet_users.oauth.oauth_parameters import Form, read_scope
from quartet_users.tokens import access_tokens, tenant_status_store
from quartet_users.tokens.access_tokens import Grant, within
from quartet_users.tokens.key_ring import KeyRing

Container = AppContainer[UsersConfig]


async def require_active(container: Container, tenant: str) -> None:
    """Check in the database that a tenant is active.

    Raises OAuthError (400): `invalid_request` for an unknown tenant, `unauthorized_client` for a suspended one.
    """
    async with container.database.connection() as connection:
        status = await tenant_status_store.read_status(connection, tenant)
    if status == "suspended":
        raise OAuthError("unauthorized_client", "The tenant is suspended.")
    if status != "active":
        raise OAuthError("invalid_request", "There is no such tenant.")


DEFAULT_TENANT = "default"


def decide_grant(client: AuthenticatedClient, scope: str | None, tenant: str | None, audience: str) -> Grant:
    """The content of a token for `client`: all its scopes without `scope`; without `tenant` its own tenant, or any
    tenant for a service.

    Raises OAuthError `invalid_scope`, `invalid_request` or `unauthorized_client` (RFC 6749 section 5.2).
    """
    if client.is_public:
        raise OAuthError("unauthorized_client", "This client is for users only. Users log in at /users/login.")
    scopes = read_scope(scope) if scope else client.scopes
    lacking = scopes - client.scopes
    if lacking:
        raise OAuthError("invalid_scope", f"The client does not have the scopes: {', '.join(sorted(lacking))[:200]}.")
    tenant = _tenant(client, tenant, ANY_TENANT if SERVICE_SCOPE in scopes else DEFAULT_TENANT)
    if scope and scopes != within(tenant, scopes):
        raise OAuthError("invalid_scope", f"{PLATFORM_ADMIN} is available in the tenant {SYSTEM_TENANT} only.")
    return Grant(client.id, tenant, within(tenant, scopes), audience=audience, name=client.name)


def _tenant(client: AuthenticatedClient, tenant: str | None, otherwise: str) -> str:
    if tenant is None:
        return otherwise if ANY_TENANT in client.tenants else min(client.tenants)
    if TENANT_ID.fullmatch(tenant) is None:
        raise OAuthError("invalid_request", "tenant must be 1 to 63 lower-case letters, digits and inner hyphens.")
    if ANY_TENANT not in client.tenants and tenant not in client.tenants:
        raise OAuthError("invalid_request", "The client does not belong to that tenant.")
    return tenant


CLIENT_CREDENTIALS = "client_credentials"


@dataclass(frozen=True)
class Granted:
    """An access token of a client; `expires_in` is in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str


class ClientCredentials:
    """The handler of the grant type client_credentials (RFC 6749 section 4.4)."""

    def __init__(self, container: AppContainer[UsersConfig], keys: KeyRing) -> None:
        self._container = container
        self._keys = keys

    async def __call__(self, form: Form, client: AuthenticatedClient, origin: RequestOrigin) -> Granted:
        """Issue a token. Raises OAuthError (400)."""
        config = self._container.config
        audience = access_tokens.audience_of(config.issuer, form.getlist("resource"))
        grant = decide_grant(client, form.get("scope"), form.get("tenant"), audience)
        token_id = new_id()
        if grant.tenant != ANY_TENANT:
            await require_active(self._container, grant.tenant)
        if client.is_bootstrap and not client.is_service and grant.tenant != SYSTEM_TENANT:
            await self._publish(grant, str(token_id), origin)
        pair = await self._keys.signing_pair()
        lifetime = _lifetime(config.token_lifetime, client)
        signed = access_tokens.sign(grant, pair, config.issuer, client.at, lifetime, token_id)
        return Granted(signed, lifetime, " ".join(sorted(grant.scopes)))

    async def _publish(self, grant: access_tokens.Grant, token_id: str, origin: RequestOrigin) -> None:
        """Publish the token to the customer's audit log: a client of the configuration can act in the tenant."""
        caller = Caller(
            grant.tenant,
            grant.client_id,
            origin.address,
            actor_name=grant.name,
            actor_type=CLIENT,
            user_agent=origin.user_agent,
        )
        async with unit_of_work(self._container, caller) as work:
            work.publish([api_client_events.token_issued(grant.client_id, grant.scopes, token_id)])


def _lifetime(longest: int, client: AuthenticatedClient) -> int:
    """The lifetime of a token in seconds, at most until the client expires."""
    if client.expires_at is None:
        return longest
    return max(1, min(longest, int((client.expires_at - client.at).total_seconds())))
