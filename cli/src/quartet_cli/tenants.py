"""Requests to the tenants API, for the command line and the tests."""

from quartet_cli import api_client, tokens
from quartet_cli.api_client import Document
from quartet_cli.errors import QuartetError


def token_of(url: str, tenant: str, scope: str | None, secret: str) -> str:
    """A token of `tokens.fetch`; creates the tenant first if it does not exist, without an administrator."""
    try:
        return tokens.fetch(url, tenant, scope, secret)
    except tokens.NoTenantError:
        make_missing(url, tenant, secret)
        return tokens.fetch(url, tenant, scope, secret)


def make_missing(url: str, tenant: str, secret: str) -> None:
    """Create a tenant; no error if it was created meanwhile."""
    answer = _ask(url, secret, "POST", "/users/tenants", {"id": tenant})
    if answer[0] not in (201, 409):
        raise QuartetError(f"Cannot create tenant {tenant}: {answer[1].get('detail', answer[1])} ({answer[0]})")


def ask(url: str, secret: str, method: str, path: str, body: Document | None = None) -> Document:
    """The response to a request of the platform administrator. Raises QuartetError for an error response."""
    status, answer = _ask(url, secret, method, path, body)
    if status == 409 and answer.get("code") == "tenant_taken" and body is not None:
        taken = str(body["id"])
        if tokens.tenant_state(url, taken, secret) == "deleted":
            raise tokens.DeletedTenantError(taken)
    if status >= 300:
        raise api_client.error_of(status, answer)
    return answer


def _ask(url: str, secret: str, method: str, path: str, body: Document | None) -> tuple[int, Document]:
    headers = {"Authorization": f"Bearer {tokens.fetch(url, tokens.PLATFORM, tokens.SCOPE, secret)}"}
    return api_client.send(method, f"{url.rstrip('/')}{path}", json=body, headers=headers)
