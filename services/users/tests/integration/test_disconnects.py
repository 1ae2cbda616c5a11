"""Clients that disconnect from the users service: failures are counted, ends take effect, refresh tokens are kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest

from quartet_cli import ports
from quartet_common.data.database import Database
from quartet_common.limits.limiter import address_key
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.server_settings import public_config
from quartet_serving.server import serve_app
from quartet_testing.client import PATCH, USER
from quartet_testing.conditions import eventually
from quartet_testing.people import PASSWORD
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant
from quartet_testing.tokens import TokenFactory
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig
from quartet_users.lockout.lockout import LOGIN, Lockout, login_rules
from quartet_users.lockout.lockout_domain import ACCOUNT, PAIR
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.tenants import tenant_domain, tenant_store

HOME, AWAY = "192.0.2.77", "198.51.100.77"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"


class Server:
    """The service on a socket, behind one proxy, with a tenant and a person who has logged in."""

    def __init__(self, running: RunningService, port: int) -> None:
        self.container: AppContainer[UsersConfig] = running.container
        self.port = port
        self.tenant = new_tenant()
        self.admin = running.tokens.headers(self.tenant, ("users:read", "users:write", "tenant:admin"))
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)
        self.person: dict[str, Any] = {}

    @property
    def database(self) -> Database:
        return self.container.database

    async def begin(self) -> None:
        async with self.database.transaction() as connection:
            await tenant_store.insert_tenant(
                connection, tenant_domain.create(self.tenant, "", self.container.clock())[0]
            )
        body = {"schemas": [USER], "userName": "bjensen", "password": PASSWORD}
        answer = await self.client.post("/scim/v2/Users", headers=self.admin, json=body)
        assert answer.status_code == 201, answer.text
        self.person = answer.json()

    async def log_in(self, password: str = PASSWORD, address: str = HOME) -> httpx.Response:
        return await self.client.post("/users/login", json=self.login(password), headers={"X-Forwarded-For": address})

    def login(self, password: str) -> dict[str, str]:
        return {"tenant": self.tenant, "user_name": "bjensen", "password": password}

    async def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> asyncio.StreamWriter:
        """Send a request on a socket of its own, which the caller closes."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        fields = {"Host": "quartet", "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        return writer

    async def waiting(self, query: str) -> int:
        """How many statements that contain `query` wait for a lock."""
        async with self.database.connection() as connection:
            return int(await connection.fetchval(WAITING, f"%{query}%"))

    async def is_refused(self, tokens: dict[str, Any]) -> bool:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return (await self.client.get("/scim/v2/Me", headers=headers)).status_code == 401


@pytest.fixture
async def server(
    users: RunningService, config_for: ConfigFor[UsersConfig], believing: Callable[[RunningService], None]
) -> AsyncIterator[Server]:
    [port] = ports.choose(1, set())
    config = config_for(UsersConfig).model_copy(update={"port": port, "trusted_proxies": 1})
    container: AppContainer[UsersConfig] = AppContainer(config)
    tokens, stopping = TokenFactory(config.issuer), asyncio.Event()
    container.key_finder = tokens.find_key
    running = RunningService(SERVICE.create_app(container), container, tokens)
    believing(running)
    serving = asyncio.ensure_future(serve_app(running.app, public_config(config), stopping, 1))
    served = Server(running, port)

    async def answers() -> bool:
        assert not serving.done(), serving.exception()
        try:
            return (await served.client.get("/users/health/live")).status_code == 200
        except httpx.HTTPError:
            return False

    await eventually(answers, "the server answers")
    await served.begin()
    yield served
    await served.client.aclose()
    stopping.set()
    await asyncio.wait_for(serving, 30)


async def test_a_wrong_password_counts_although_its_client_disconnects_before_it_is_verified(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()
    verify = Passwords.verify

    async def slowly(*arguments: Any, **options: Any) -> bool:
        begun.release()
        await go_on.wait()
        return await verify(*arguments, **options)

    monkeypatch.setattr(Passwords, "verify", slowly)
    body, headers = orjson.dumps(server.login("a wrong password")), {"Content-Type": "application/json"}
    for _ in range(5):
        writer = await server.send("POST", "/users/login", body, {**headers, "X-Forwarded-For": AWAY})
        await begun.acquire()
        writer.close()
        await writer.wait_closed()
    go_on.set()
    lockout = Lockout(server.container, LOGIN, login_rules(server.container.config.limit_logins))
    keys = lockout._keys(server.tenant, "bjensen", address_key(AWAY))

    async def counted() -> bool:
        states = (await lockout._shared._read(keys))[1].states
        return [(states[place].failures, states[place].pending) for place in (PAIR, ACCOUNT)] == [(5, 0)] * 2

    await eventually(counted, "all failures are counted, and none is pending")
    assert (await server.log_in(address=AWAY)).status_code == 429
    assert (await server.log_in(address=HOME)).status_code == 200


async def test_a_refresh_token_is_not_used_up_when_its_client_disconnects_before_the_answer(server: Server) -> None:
    tokens = (await server.log_in()).json()
    form = {"grant_type": "refresh_token", "client_id": "quartet-cli", "refresh_token": tokens["refresh_token"]}
    sent, headers = (
        httpx.Request("POST", "http://quartet", data=form),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    async with server.database.transaction() as connection:
        await connection.execute("SELECT 1 FROM users WHERE tenant_id = $1 FOR UPDATE", server.tenant)
        writer = await server.send("POST", "/oauth2/token", sent.read(), headers)
        await eventually(lambda: server.waiting("FOR SHARE"), "the refresh waits")
        writer.close()

        async def given_up() -> bool:
            return await server.waiting("FOR SHARE") == 0

        await eventually(given_up, "the refresh is given up")
    answer = await server.client.post("/oauth2/token", data=form)
    assert answer.status_code == 200, answer.text
    assert not await server.is_refused(answer.json())


ENDS = ["log out", "end all sessions", "revoke", "deactivate", "delete", "change the password"]


@pytest.mark.parametrize("end", ENDS)
async def test_what_ends_tokens_takes_effect_although_its_client_disconnects(server: Server, end: str) -> None:
    tokens = (await server.log_in()).json()
    own = {"Authorization": f"Bearer {tokens['access_token']}"}
    json = {"Content-Type": "application/json"}
    user, active = f"/scim/v2/Users/{server.person['id']}", [{"op": "replace", "path": "active", "value": False}]
    deactivation = orjson.dumps({"schemas": [PATCH], "Operations": active})
    revocation = f"client_id=quartet-cli&token={tokens['refresh_token']}".encode()
    other = (await server.log_in()).json() if end == "change the password" else {}
    change = orjson.dumps({"old_password": PASSWORD, "new_password": "another horse battery staple"})
    method, path, body, headers = {
        "log out": ("DELETE", f"/users/sessions/{tokens['session_id']}", b"", own),
        "end all sessions": ("DELETE", f"/users/sessions?user={server.person['id']}", b"", server.admin),
        "revoke": ("POST", "/oauth2/revoke", revocation, {"Content-Type": "application/x-www-form-urlencoded"}),
        "deactivate": ("PATCH", user, deactivation, {**server.admin, **json}),
        "delete": ("DELETE", user, b"", server.admin),
        "change the password": (
            "POST", "/users/password", change, {"Authorization": f"Bearer {other.get('access_token')}", **json},
        ),
    }[end]  # fmt: skip
    async with server.database.transaction() as connection:
        await connection.execute("SELECT 1 FROM users WHERE tenant_id = $1 FOR UPDATE", server.tenant)
        await connection.execute("SELECT 1 FROM sessions WHERE tenant_id = $1 FOR UPDATE", server.tenant)
        writer = await server.send(method, path, body, headers)
        await eventually(lambda: server.waiting(""), "the request waits for the rows")
        writer.close()
        await writer.wait_closed()
        assert not await server.is_refused(tokens)
    await eventually(lambda: server.is_refused(tokens), "the tokens are refused")
