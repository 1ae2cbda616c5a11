"""Bearer tokens, requested with the launcher's own API client (RFC 6749 section 4.4)."""

import base64
import json
import os
from typing import Final
from urllib.parse import quote, quote_plus

from quartet_cli import api_client
from quartet_cli.errors import QuartetError
from quartet_cli.layout import PROGRAM, Home

CLIENT: Final = "quartet-admin"
PLATFORM: Final = "quartet"
SCOPE: Final = "platform:admin"
URL_HELP: Final = f"URL of another stack; QUARTET_CLIENT_SECRET is the secret of its client {CLIENT}."


class NoTenantError(QuartetError):
    """The tenant of a token does not exist."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f"Tenant {tenant} does not exist. To create it, run: {PROGRAM} tenants create {tenant}")


class DeletedTenantError(QuartetError):
    """The tenant was deleted, and its id cannot be used again."""

    def __init__(self, tenant: str) -> None:
        super().__init__(
            f"Tenant {tenant} was deleted. The id of a deleted tenant cannot be reused; choose another id."
        )


def own_secret(home: Home) -> str:
    """The secret of the launcher's client: QUARTET_CLIENT_SECRET, or that of this home. Raises QuartetError."""
    if given := os.environ.get("QUARTET_CLIENT_SECRET"):
        return given
    path = home.secrets / "admin/quartet_client_secret"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise QuartetError(
            "There are no secrets here. Run: ./quartet up\n"
            f"For another stack (containers, --url), set QUARTET_CLIENT_SECRET to the secret of its client {CLIENT},\n"
            f"or log in: {PROGRAM} login --url URL USER"
        ) from None
    except PermissionError:
        raise QuartetError(f"Cannot read {path}: it belongs to another user. Run the command as that user.") from None


def fetch(
    url: str, tenant: str | None, scope: str | None, secret: str, *, client: str = CLIENT, ca: str | None = None
) -> str:
    """A token of a client, with all its scopes if `scope` is None; without `tenant` for its own tenant.

    Raises NoTenantError, DeletedTenantError, and QuartetError for any other reason.
    """
    status, answer = _request(url, tenant, scope, (client, secret), ca)
    if status == 200:
        return str(answer["access_token"])
    code, description = answer.get("error"), answer.get("error_description", "")
    if code == "invalid_request" and client == CLIENT and tenant is not None:
        _require_tenant(url, tenant, secret, ca)
    if code == "invalid_scope" and scope:
        several = f" ({description})" if " " in scope else ""
        raise QuartetError(f"Scope {scope} is not available{several}. Without --scope, a token has all scopes.")
    if code == "invalid_client":
        advice = "Set QUARTET_CLIENT_SECRET to the secret of that stack."
        if client != CLIENT:
            advice = f"Log in again: {PROGRAM} login --url {url} --client-id {client}"
        raise QuartetError(f"{url} refused the secret of {client}. {advice}")
    of = f"tenant {tenant}" if tenant else f"client {client}"
    raise QuartetError(f"No token for {of}: {description or answer.get('detail', answer)} ({status})"[:400])


def _request(
    url: str, tenant: str | None, scope: str | None, own: tuple[str, str], ca: str | None
) -> tuple[int, api_client.Document]:
    wanted = {"tenant": tenant, "scope": scope}
    form = {"grant_type": "client_credentials"} | {name: value for name, value in wanted.items() if value}
    proof = (quote_plus(own[0]), quote_plus(own[1]))  # RFC 6749 section 2.3.1
    return api_client.send("POST", f"{url.rstrip('/')}/oauth2/token", data=form, auth=proof, ca=ca)


def claims(token: str) -> api_client.Document:
    """The claims of an access token (RFC 9068), which only its server verifies."""
    try:
        body = token.split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
    except (IndexError, ValueError, TypeError) as error:
        raise QuartetError("The server sent a token without claims. Is this the URL of Quartet?") from error


def _require_tenant(url: str, tenant: str, secret: str, ca: str | None) -> None:
    """Check that a tenant exists. Raises NoTenantError, DeletedTenantError."""
    if tenant != PLATFORM:
        state = tenant_state(url, tenant, secret, ca)
        if state is None:
            raise NoTenantError(tenant)
        if state == "deleted":
            raise DeletedTenantError(tenant)


def tenant_state(url: str, tenant: str, secret: str, ca: str | None = None) -> str | None:
    """`active`, `suspended` or `deleted`; None if the tenant never existed. Raises QuartetError."""
    headers = {"Authorization": f"Bearer {fetch(url, PLATFORM, SCOPE, secret, ca=ca)}"}
    path = f"/users/tenants/{quote(tenant, safe='')}"
    status, answer = api_client.send("GET", url.rstrip("/") + path, headers=headers, ca=ca)
    if status == 404 and answer.get("code") == "not_found":
        return None
    if status != 200:
        raise api_client.error_of(status, answer)
    return str(answer["status"])
