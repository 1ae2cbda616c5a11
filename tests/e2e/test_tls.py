"""Mutual TLS from end to end: groups asks users over it, nginx asks both, and who has no certificate gets nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from quartet_cli import binaries, ports, tokens
from quartet_cli.layout import CHECKOUT
from quartet_cli.servers import nginx
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig, read_config
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, prepare
from quartet_common.runtime.server_settings import public_config
from quartet_serving.server import serve_app
from quartet_testing.authority import Authority
from quartet_testing.client import GROUPS, USERS, Api, group_document, user_document
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

SERVED = ("users", "groups")


@dataclass(frozen=True)
class Closed:
    """Two services that take nobody without a certificate of `authority`."""

    authority: Authority
    ports: dict[str, int]
    client_pair: tuple[Path, Path]
    admin_secret: str

    def url(self, service: str) -> str:
        """Where the service answers."""
        return f"https://127.0.0.1:{self.ports[service]}"


async def answers(call: Callable[[], Any]) -> None:
    """Wait until something answers, whatever it says."""

    async def probe() -> bool:
        try:
            await call()
        except httpx.TransportError:
            return False
        return True

    await eventually(probe, "an answer")


@asynccontextmanager
async def served(service: Service[Any], config: ServiceConfig) -> AsyncIterator[None]:
    """The service's api in this process, as its own process serves it."""
    await prepare(service, config)
    container: AppContainer[Any] = AppContainer(config)
    settings = public_config(config, container.certificates)
    running = asyncio.ensure_future(serve_app(service.create_app(container), settings, container.stopping))
    try:
        yield
    finally:
        container.stopping.set()
        await asyncio.wait_for(running, 15)


@pytest.fixture
async def closed(servers: Stack, services: dict[str, Service[Any]], tmp_path: Path) -> AsyncIterator[Closed]:
    """Users and groups, each with a certificate of its own, which it also shows to the other."""
    authority = Authority(tmp_path)
    chosen = dict(zip(SERVED, ports.choose(2, set(servers.state.ports.values())), strict=True))
    urls = {f"QUARTET_{name.upper()}_URL": f"https://127.0.0.1:{port}" for name, port in chosen.items()}
    tls = {"QUARTET_CA_CERTS": str(authority.bundle), "QUARTET_TRUST": str(authority.bundle)}
    async with AsyncExitStack() as running:
        for name in SERVED:
            certfile, keyfile = authority.issue("127.0.0.1", f"{name}-api", file=name)
            own = {
                "QUARTET_CERTFILE": str(certfile),
                "QUARTET_KEYFILE": str(keyfile),
                "QUARTET_PORT": str(chosen[name]),
            }
            variables = {**servers.environment(name, "api"), **urls, **tls, **own, "QUARTET_VERIFY_CLIENT": "required"}
            with patch.dict(os.environ, variables, clear=True):
                config = read_config(services[name].config_class)
            await running.enter_async_context(served(services[name], config))
        secret = tokens.own_secret(servers.home)
        made = Closed(authority, chosen, authority.issue("operator", file="operator"), secret)
        async with httpx.AsyncClient(verify=authority.client(*made.client_pair), trust_env=False) as client:
            for name in SERVED:
                await answers(partial(client.get, made.url(name)))
        yield made


@pytest.fixture
async def token(closed: Closed) -> str:
    """A token of a tenant of the test's own."""
    context, auth = closed.authority.client(*closed.client_pair), (tokens.CLIENT, closed.admin_secret)
    tenant = new_tenant()
    async with httpx.AsyncClient(base_url=closed.url("users"), verify=context, auth=auth, trust_env=False) as client:
        platform = await client.post("/oauth2/token", data={"grant_type": "client_credentials", "tenant": "quartet"})
        headers = {"Authorization": f"Bearer {platform.json()['access_token']}"}
        made = await client.post("/users/tenants", json={"id": tenant}, headers=headers, auth=httpx.Auth())
        assert made.status_code == 201, made.text
        given = await client.post("/oauth2/token", data={"grant_type": "client_credentials", "tenant": tenant})
        assert given.status_code == 200, given.text
        return str(given.json()["access_token"])


async def test_groups_asks_users_over_mutual_tls(closed: Closed, token: str) -> None:
    context = closed.authority.client(*closed.client_pair)
    async with Api(closed.url("users"), token, verify=context) as api:
        user = await api.create_user()
    async with Api(closed.url("groups"), token, verify=context) as api:
        group = await api.create_group([user["id"]])  # no worker runs: groups can know the user from users only
        assert [member["value"] for member in group["members"]] == [user["id"]]


@pytest.mark.parametrize("service", SERVED)
async def test_servers_without_a_certificate_of_the_authority_are_refused(
    closed: Closed, tmp_path: Path, service: str
) -> None:
    foreign = Authority(tmp_path, "foreign").issue("operator")
    for pair in ((), foreign):
        async with httpx.AsyncClient(verify=closed.authority.client(*pair), trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"{closed.url(service)}/{service}/health/live")


@pytest.fixture
async def proxy(closed: Closed, servers: Stack, tmp_path: Path) -> AsyncIterator[str]:
    """The proxy with our own routes, which calls both over mutual TLS; its URL."""
    port, metrics_port = ports.choose(2, set(closed.ports.values()))
    certfile, keyfile = closed.authority.issue("proxy", file="proxy")
    numbers = {f"{name}-api": number for name, number in closed.ports.items()}
    values = nginx.values(numbers | {"proxy": port, "proxy-metrics": metrics_port}, {}) | {
        "QUARTET_UPSTREAM_SCHEME": "https",
        "QUARTET_UPSTREAM_VERIFY": "on",
        "QUARTET_UPSTREAM_TRUST": str(closed.authority.bundle),
        "QUARTET_UPSTREAM_CERTFILE": str(certfile),
        "QUARTET_UPSTREAM_KEYFILE": str(keyfile),
        "QUARTET_USERS_NAME": "users-api",
        "QUARTET_GROUPS_NAME": "somebody-else.example.com",
    }
    template = (CHECKOUT / "deploy/nginx/quartet.conf.template").read_text()
    (tmp_path / "run").mkdir()
    home = type(servers.home)(tmp_path)
    (home.run / "quartet.conf").write_text(nginx.filled(template, values))
    (home.run / "nginx.conf").write_text(nginx.main(home, tmp_path))
    program = [str(binaries.find().nginx), "-p", str(home.run), "-e", "/dev/stderr", "-c", str(home.run / "nginx.conf")]
    process = await asyncio.create_subprocess_exec(*program)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            await answers(lambda: client.get(f"http://127.0.0.1:{port}/"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def test_the_proxy_shows_its_certificate_and_checks_the_names_of_the_services(
    proxy: str, token: str, closed: Closed
) -> None:
    async with Api(proxy, token) as api:
        assert (await api.post(USERS, json=user_document())).status_code == 201
        refused = await api.post(GROUPS, json=group_document())
        assert refused.status_code == 502, "its certificate is for another name than the proxy was told"
