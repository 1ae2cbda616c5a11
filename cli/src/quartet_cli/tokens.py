"""Bearer tokens for people: asked for with the launcher's own API client (RFC 6749, section 4.4)."""

import os
from urllib.parse import quote_plus

from quartet_cli import answers
from quartet_cli.errors import QuartetError
from quartet_cli.layout import Home

CLIENT = "quartet-admin"
NO_TENANT = "There is no such tenant."


class NoTenantError(QuartetError):
    """A token is asked for of a tenant that is not there."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f"there is no tenant {tenant}; make it with: ./quartet tenant create {tenant}")


def own_secret(home: Home) -> str:
    """The secret of the launcher's client: QUARTET_CLIENT_SECRET for a stack from elsewhere, else this home's."""
    if given := os.environ.get("QUARTET_CLIENT_SECRET"):
        return given
    path = home.secrets / "admin/quartet_client_secret"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise QuartetError("there are no secrets yet; make the stack with: ./quartet up") from None
    except PermissionError:
        raise QuartetError(f"{path} belongs to another user") from None


def fetch(url: str, tenant: str, scope: str | None, secret: str) -> str:
    """A token for one tenant; all scopes of the client where none are named. QuartetError says why there is none,
    NoTenantError that the tenant is missing.
    """
    form = {"grant_type": "client_credentials", "tenant": tenant} | ({"scope": scope} if scope else {})
    proof = (CLIENT, quote_plus(secret))  # RFC 6749 section 2.3.1
    status, answer = answers.ask("POST", f"{url.rstrip('/')}/oauth2/token", data=form, auth=proof)
    if status == 400 and NO_TENANT in str(answer.get("error_description")):
        raise NoTenantError(tenant)
    if status != 200:
        raise QuartetError(f"{url} gives no token: {status} {str(answer)[:300]}")
    return str(answer["access_token"])
