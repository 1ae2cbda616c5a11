"""The first request to a service waits for nothing that could be done before: no import, no connection, no keys."""

import asyncio
import json
import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any
from unittest.mock import patch

import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_common.auth.scopes import SCOPES
from quartet_common.config.settings import read_config
from quartet_common.runtime.process import prepare
from quartet_testing.services import new_tenant
from quartet_testing.tokens import KEY_ID, TokenFactory

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
RENAME = {"Operations": [{"op": "replace", "path": "displayName", "value": "x"}]}
NOBODY = "01a20458-d3da-70f4-b50d-2a76abd0b72c"
REQUESTS: dict[str, list[tuple[int, str, str, Any]]] = {
    "users": [
        (200, "GET", '/scim/v2/Users?filter=userName eq "x"&startIndex=1&count=2', None),
        (404, "GET", f"/scim/v2/Users/{NOBODY}", None),
        (201, "POST", "/scim/v2/Users", {"schemas": [USER], "userName": "x"}),
        (404, "PATCH", f"/scim/v2/Users/{NOBODY}", RENAME),
    ],
    "groups": [
        (200, "GET", '/scim/v2/Groups?filter=displayName eq "x"', None),
        (201, "POST", "/scim/v2/Groups", {"schemas": [GROUP], "displayName": "x"}),
        (404, "PATCH", f"/scim/v2/Groups/{NOBODY}", RENAME),
        (200, "GET", f"/groups/check?user={NOBODY}&group={NOBODY}", None),
    ],
    "audit": [(200, "GET", "/audit/events", None)],
    "metrics": [(200, "GET", "/metrics/query?metric=events", None), (200, "GET", "/metrics/catalog", None)],
}


class PublishedKeys:
    """What the other services ask users for; `asked` counts how often."""

    def __init__(self, factory: TokenFactory) -> None:
        self.jwk: dict[str, Any] = {**factory.key.as_dict(private=False), "kid": KEY_ID, "use": "sig", "alg": "ES256"}
        self.url = ""
        self.asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = json.dumps({"keys": [self.jwk]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()


@pytest.fixture
async def keys() -> AsyncIterator[tuple[TokenFactory, PublishedKeys]]:
    """A key that signs tokens, and a server that publishes it."""
    factory = TokenFactory("")
    published = PublishedKeys(factory)
    async with await asyncio.start_server(published.answer, "127.0.0.1", 0) as server:
        published.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield factory, published


@pytest.mark.parametrize("service", SERVICES)
async def test_the_first_request_imports_nothing_and_finds_a_connection_and_keys(
    servers: Stack, keys: tuple[TokenFactory, PublishedKeys], service: str
) -> None:
    factory, published = keys
    environment = {**servers.environment(service, "api"), "QUARTET_USERS_URL": published.url}
    found = import_module(f"quartet_{service}.app").SERVICE
    with patch.dict(os.environ, environment, clear=True):
        config = read_config(found.config_class)
    with patch.dict(os.environ, servers.environment(service, "migrate"), clear=True):
        await prepare(found, read_config(found.config_class))
    factory.issuer = config.issuer
    headers = {**factory.headers(new_tenant(), SCOPES), "Content-Type": "application/json"}
    wanted = [(method, path, headers, json.dumps(body) if body else "") for _, method, path, body in REQUESTS[service]]
    expected = [status for status, *_ in REQUESTS[service]]
    if service == "users":
        proof = b64encode(b"quartet-admin:wrong").decode()
        form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {proof}"}
        wanted.append(("POST", "/oauth2/token", form, "grant_type=client_credentials"))
        expected.append(401)
    asked = {"key": published.jwk if service == "users" else None, "requests": wanted}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "quartet_testing.first_requests", service),
        env={**environment, "QUARTET_LOG_LEVEL": "ERROR"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(json.dumps(asked).encode())
    answered = json.loads(output.splitlines()[-1])
    assert [one["status"] for one in answered["answers"]] == expected
    assert {one["request"]: one["modules"] for one in answered["answers"] if one["modules"]} == {}
    assert answered["connections"] >= 1
    assert published.asked == (0 if service == "users" else 1)
