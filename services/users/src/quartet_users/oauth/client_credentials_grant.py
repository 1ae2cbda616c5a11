"""The client credentials grant (RFC 6749 section 4.4)."""

from quartet_users.errors import OAuthError
from quartet_users.tenants.tenant_usecases import Container
from quartet_users.tokens import tenant_status_store


async def demand_active(container: Container, tenant: str) -> None:
    """Refuse to give a token for a tenant that cannot use it, now and not as it was a moment ago.

    Raises OAuthError (400): `invalid_request` where there is none, `unauthorized_client` for a suspended one.
    """
    async with container.database.connection() as connection:
        status = await tenant_status_store.read_status(connection, tenant)
    if status == "suspended":
        raise OAuthError("unauthorized_client", "The tenant is suspended.")
    if status != "active":
        raise OAuthError("invalid_request", "There is no such tenant.")
