"""A stack that is reachable from outside: SCIM over TLS, with links to the public URL."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quartet_cli import catalogue, ports
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.authority import Authority
from quartet_testing.client import USERS, Api

pytestmark = [pytest.mark.local_stack, pytest.mark.slow]

OUTSIDE = "127.0.0.2"
"""An address of this machine that is not the one of the launcher's own commands."""


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[tuple[Stack, Authority]]:
    """A stack with the users service, whose proxy has a certificate for OUTSIDE."""
    folder = tempfile.TemporaryDirectory(prefix="quartet-certificates-")  # tmp_path may be hidden: confined.py
    authority = Authority(Path(folder.name))
    certfile, keyfile = authority.issue(OUTSIDE)
    [port] = ports.choose(1, set())
    settings = {
        "QUARTET_LISTEN": OUTSIDE,
        "QUARTET_PUBLIC_URL": f"https://{OUTSIDE}:{port}",
        "QUARTET_PROXY_CERTFILE": str(certfile),
        "QUARTET_PROXY_KEYFILE": str(keyfile),
    }
    stack = Stack(tmp_path / "home", port, services=("users",), extra_environment=settings, temporary=True)
    try:
        await asyncio.to_thread(stack.up)
        yield stack, authority
    finally:
        await asyncio.to_thread(stack.down)
        remove(stack.home)
        folder.cleanup()


async def test_an_identity_provider_outside_provisions_a_user_over_tls(outside: tuple[Stack, Authority]) -> None:
    stack, authority = outside
    public = f"https://{OUTSIDE}:{stack.state.ports['proxy']}"
    token = await asyncio.to_thread(stack.token)  # the launcher's own commands use 127.0.0.1
    async with Api(public, token, verify=authority.client(), http2=True) as provider:
        user = await provider.create_user()
        assert user["meta"]["location"] == f"{public}{USERS}/{user['id']}"
        found = await provider.get(user["meta"]["location"])
        assert (found.status_code, found.http_version) == (200, "HTTP/2")
        metadata = (await provider.get("/.well-known/oauth-authorization-server")).json()
        assert metadata["issuer"] == public
    states = {process.name: process.state for process in stack.status()}
    assert (states["proxy"], states[catalogue.CERTIFICATES]) == ("running", "running")
