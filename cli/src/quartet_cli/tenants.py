"""Tokens of tenants that may not exist yet, for the demo and the tests."""

from quartet_cli import api_client, tokens
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
    headers = {"Authorization": f"Bearer {tokens.fetch(url, tokens.PLATFORM, tokens.SCOPE, secret)}"}
    path = f"{url.rstrip('/')}/users/tenants"
    status, answer = api_client.send("POST", path, json={"id": tenant}, headers=headers)
    if status not in (201, 409):
        raise QuartetError(f"Cannot create tenant {tenant}: {answer.get('detail', answer)} ({status})")
