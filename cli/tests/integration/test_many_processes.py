"""A stack with several processes of a service: they act as one, and are replaced without a failed request."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from quartet_cli import instances, ports, tokens
from quartet_cli.bringup import tail
from quartet_cli.errors import QuartetError
from quartet_cli.layout import SERVICES
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.authority import Authority
from quartet_testing.bursts import arrived_exactly_once
from quartet_testing.client import USERS, Api, user_document
from quartet_testing.clusters import skip_fsync
from quartet_testing.conditions import eventually
from quartet_testing.faults import database, kill, measured, pids, replaced
from quartet_testing.limits import WIDE
from quartet_testing.people import PASSWORD
from quartet_testing.services import new_tenant
from quartet_testing.steady_load import SteadyLoad

OUTSIDE = "127.0.0.2"
"""Where the proxy serves TLS; 127.0.0.1 serves plain HTTP."""
REQUESTS_OF_A_PERSON = 60
LOCKED_AFTER = 5
SOON = 10.0
RELAYS = """
SELECT granted, client_port FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND objsubid = 1
AND (classid::bigint << 32 | objid::bigint) = hashtextextended('quartet-relay-users', 0)"""


class Many:
    """The stack, its number of processes of users, and the authority of its certificate."""

    def __init__(self, stack: Stack, number: int, authority: Authority) -> None:
        self.stack = stack
        self.number = number
        self.tls = authority.client()
        self.public = f"https://{OUTSIDE}:{stack.state.ports['proxy']}"

    def apis(self, service: str = "users") -> list[str]:
        """The URL of each api."""
        names = instances.of(self.stack.state.ports, service, "api")
        return [f"http://127.0.0.1:{self.stack.state.ports[name]}" for name in names]

    async def token(self, tenant: str, scope: str | None = None) -> str:
        return await asyncio.to_thread(self.stack.token, tenant, scope)


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def many(request: pytest.FixtureRequest) -> AsyncIterator[Many]:
    """Two apis and two workers of users and one of each of the others; or three of everything."""
    several = SERVICES if request.param > 2 else ("users",)
    with (
        tempfile.TemporaryDirectory(prefix="quartet-many-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryDirectory(prefix="quartet-certificates-") as certificates,  # the home may hide its own folder
    ):
        authority = Authority(Path(certificates))
        certfile, keyfile = authority.issue(OUTSIDE)
        [port] = ports.choose(1, set())
        settings = {
            **WIDE,
            "QUARTET_DATABASE_POOL_MAX": "20",  # so that no share is used up on a loaded machine
            "QUARTET_LIMIT_USER": f"{REQUESTS_OF_A_PERSON}/600",
            "QUARTET_LISTEN": OUTSIDE,
            "QUARTET_PUBLIC_URL": f"https://{OUTSIDE}:{port}",
            "QUARTET_PROXY_CERTFILE": str(certfile),
            "QUARTET_PROXY_KEYFILE": str(keyfile),
            **{instances.setting(service): str(request.param) for service in several},
        }
        stack = Stack(Path(folder) / "home", port, extra_environment=settings, temporary=True)
        try:
            await asyncio.to_thread(stack.up)
            skip_fsync(stack)
            yield Many(stack, request.param, authority)
        finally:
            await asyncio.to_thread(stack.down)
            remove(stack.home)


async def test_each_process_has_a_name_and_shows_its_state(many: Many) -> None:
    found = {one.name: one for one in await asyncio.to_thread(many.stack.status)}
    for kind in instances.PROCESSES:
        names = [f"users-{kind}-{index}" for index in range(1, many.number + 1)]
        assert [found[name].state for name in names] == ["running"] * many.number
        assert len({found[name].url for name in names}) == many.number
    with pytest.raises(
        QuartetError, match=r"No such process: users-cache\. The processes are: .*users-api-1, users-api"
    ):
        many.stack.stop("users-cache")


async def test_the_proxy_gives_requests_to_every_api_and_to_the_others_when_one_dies(many: Many) -> None:
    async with Api(many.stack.url, await many.token(new_tenant())) as api:
        names = instances.of(many.stack.state.ports, "users", "api")
        statuses = Counter([(await api.get(USERS)).status_code for _ in range(20)])
        counts = [await measured(many.stack, name, "http_server_request_duration_seconds_count") for name in names]
        assert min(counts) > 0
        old = pids(many.stack)[names[0]]
        await kill(many.stack, names[0])
        statuses += Counter([(await api.get(USERS)).status_code for _ in range(20)])
        statuses += Counter([(await api.post(USERS, json=user_document())).status_code for _ in range(20)])
        assert statuses == {200: 40, 201: 20}
        await replaced(many.stack, names[0], old)


async def test_a_limit_counts_over_all_apis(many: Many) -> None:
    tenant = new_tenant()
    async with Api(many.stack.url, await many.token(tenant)) as api:
        user = await api.create_user(password=PASSWORD)
    person = (await log_in(many.apis()[0], tenant, user["userName"], PASSWORD)).json()["access_token"]
    accepted = 0
    async with AsyncExitStack() as opened:
        apis = [await opened.enter_async_context(Api(url, person)) for url in many.apis()]
        for number in range(2 * REQUESTS_OF_A_PERSON):
            answer = await apis[number % len(apis)].get("/scim/v2/Me")
            assert answer.status_code in (200, 429), answer.text
            accepted += answer.status_code == httpx.codes.OK
            if accepted >= REQUESTS_OF_A_PERSON - len(apis):  # counts are added up each 100 ms
                await asyncio.sleep(0.15)
                break
        over = [(await apis[number % len(apis)].get("/scim/v2/Me")).status_code for number in range(3 * len(apis))]
        await asyncio.sleep(0.15)
        over += [(await api.get("/scim/v2/Me")).status_code for api in apis]
    assert over[-len(apis) :] == [429] * len(apis), "each alone would have accepted more"


async def test_wrong_passwords_count_once_over_all_apis(many: Many) -> None:
    tenant = new_tenant()
    async with Api(many.stack.url, await many.token(tenant)) as api:
        user = await api.create_user(password=PASSWORD)
    wrong = [
        (await log_in(many.apis()[number % many.number], tenant, user["userName"], "wrong")).status_code
        for number in range(LOCKED_AFTER)
    ]
    assert wrong == [401] * LOCKED_AFTER
    for url in many.apis():
        answer = await log_in(url, tenant, user["userName"], "wrong")
        assert (answer.status_code, "Retry-After" in answer.headers) == (429, True), answer.text


async def test_a_revoked_token_is_refused_by_every_api(many: Many) -> None:
    token = await many.token(new_tenant(), "events:manage")
    every = [(service, url) for service in many.stack.services for url in many.apis(service)]

    async def statuses() -> set[int]:
        found = set()
        for service, url in every:
            async with Api(url, token) as api:
                found.add((await api.get(f"/{service}/rabbitmq/outbox")).status_code)
        return found

    assert await statuses() == {200}
    auth = (tokens.CLIENT, tokens.own_secret(many.stack.home))
    async with httpx.AsyncClient(base_url=many.apis()[-1], auth=auth, trust_env=False) as client:
        assert (await client.post("/oauth2/revoke", data={"token": token})).status_code == 200

    async def refused() -> bool:
        return await statuses() == {401}

    await eventually(refused, "every api refuses it", SOON)


async def test_one_worker_relays_and_another_takes_over_when_it_dies(many: Many) -> None:
    workers = instances.of(many.stack.state.ports, "users", "worker")
    async with Api(many.stack.url, await many.token(new_tenant())) as api, database(many.stack, "users") as connection:

        async def relaying() -> str | None:
            relays = await connection.fetch(RELAYS)
            [relay] = [one for one in relays if one["granted"]]
            # a session that waits for the lock does not notice that its client has died
            assert len(relays) >= many.number, relays
            found = pids(many.stack)
            return next((name for name in workers if name in found and uses(found[name], relay["client_port"])), None)

        victim = await eventually(relaying, "one relay, and the others waiting")
        users = [await api.create_user() for _ in range(10)]
        old = pids(many.stack)[victim]
        await kill(many.stack, victim)
        users += [await api.create_user() for _ in range(10)]
        await arrived_exactly_once(api, users)
        await replaced(many.stack, victim, old)
        assert await eventually(relaying, "one relay again") != victim


def uses(process: int, port: int) -> bool:
    """Whether a process has a connection from `port`."""
    return any(one.laddr.port == port for one in psutil.Process(process).net_connections("tcp"))


async def test_a_rolling_restart_under_load_fails_no_request_and_loses_no_event(many: Many) -> None:
    """Several apis and one alone, plain and with TLS; with three processes: all of them at 200 requests a second."""
    whole = many.number > 2
    token = await many.token(new_tenant())
    before = pids(many.stack)
    async with (
        Api(many.stack.url, token) as plain,
        Api(many.public, token, verify=many.tls) as tls,
        Api(many.public, token, verify=many.tls, http2=True) as http2,
    ):
        async with SteadyLoad([plain, tls, http2], 200 if whole else 30) as load:
            await eventually(lambda: load.reached(50), "the first answers")
            for name in [None] if whole else ["users-api-1", "users-worker-1", "groups-api"]:
                await asyncio.to_thread(many.stack.restart_rolling, name)
            reached = load.answered
            await eventually(lambda: load.reached(reached + 50), "answers of the new processes")
        assert load.failed == [], [line for line in tail(many.stack.home.logs / "proxy.log", 5000) if "[error]" in line]
        await arrived_exactly_once(plain, load.created)
    after = pids(many.stack)
    assert before.keys() == after.keys(), "spare processes have ended"
    changed = {name for name in after if after[name] != before[name]}
    expected = {name for name in after if instances.kind_of(name)}
    assert changed == (expected if whole else {"users-api-1", "users-worker-1", "groups-api"})


def test_a_server_is_not_restarted_rolling_and_nothing_else_is_then(many: Many) -> None:
    before = pids(many.stack)
    with pytest.raises(QuartetError, match="redis is one process on one data folder: restart it without --rolling"):
        many.stack.restart_rolling("redis")
    assert pids(many.stack) == before


async def log_in(url: str, tenant: str, user_name: str, password: str) -> httpx.Response:
    body: dict[str, Any] = {"tenant": tenant, "user_name": user_name, "password": password}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        return await client.post("/users/login", json=body)
