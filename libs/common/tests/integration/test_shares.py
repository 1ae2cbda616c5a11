"""Shares of connections: what one tenant, or one address, does to the others while it uses all that it can get."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from quart import Quart, Response

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.fair_share import CAPACITY, SHARE
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import public, requires
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant, serve_service

MANY = 20
"""More than a pool has connections."""


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    """An app with routes that read one row: at once, or when the test says so."""
    app = create_base_app(container, title="Common")
    app.extensions["release"] = asyncio.Event()

    async def hold() -> dict[str, int]:
        async with container.database.transaction() as connection:
            await app.extensions["release"].wait()
            return {"one": await connection.fetchval("SELECT 1")}

    @app.get("/common/rows")
    @requires("users:read")
    async def rows() -> dict[str, int]:
        async with container.database.connection() as connection:
            return {"one": await connection.fetchval("SELECT 1")}

    app.get("/common/held")(requires("users:read")(hold))

    @app.get("/common/open")
    @public
    async def hold_openly() -> dict[str, int]:
        return await hold()

    return app


@pytest.fixture
async def service(config: ServiceConfig) -> AsyncIterator[RunningService]:
    made = Service(
        package="quartet_common", config_class=type(config), create_app=create_app, subscriptions=lambda _: []
    )
    # connections that are open already, so that a slow machine does not need the time to open them
    settings = {"database_pool_min": config.database_pool_max, "database_acquire_timeout": 3.0}
    async with serve_service(made, config.model_copy(update=settings)) as running:
        yield running


def send(service: RunningService, path: str, tenant: str | None, count: int = 1) -> list[asyncio.Task[Response]]:
    """Requests of one tenant, sent at once; without a tenant they bring no token."""
    headers = {} if tenant is None else service.tokens.headers(tenant, ["users:read"])
    return [asyncio.create_task(service.client.get(path, headers=headers)) for _ in range(count)]


async def assert_others_are_served(service: RunningService) -> None:
    """Another tenant is answered, the process is ready, and it reads its revocations."""
    [answer] = await asyncio.gather(*send(service, "/common/rows", new_tenant()))
    assert answer.status_code == 200
    assert (await service.client.get("/common/health/ready")).status_code == 200
    await service.container.revocations.refresh()


@pytest.mark.parametrize(("path", "tenant"), [("/common/held", "held-by-one"), ("/common/open", None)])
async def test_a_holder_of_all_the_connections_it_can_get_keeps_nobody_else_out(
    service: RunningService, path: str, tenant: str | None
) -> None:
    connections = service.container.database.connections
    requests = send(service, path, tenant, MANY)

    async def all_wait() -> bool:
        return connections.used + connections.waiting == MANY

    await eventually(all_wait, "all requests hold a connection or wait for one")
    await assert_others_are_served(service)

    async def the_rest_is_refused() -> bool:
        return sum(one.done() for one in requests) == MANY - connections.share

    await eventually(the_rest_is_refused, "the requests beyond the share are refused")
    await assert_others_are_served(service)
    service.app.extensions["release"].set()
    answers = await asyncio.gather(*requests)
    assert sorted(one.status_code for one in answers) == [200] * connections.share + [429] * (MANY - connections.share)
    refused = next(one for one in answers if one.status_code == 429)
    assert (await refused.get_json())["code"] == "share_exceeded"
    assert int(refused.headers["Retry-After"]) >= 1
    assert connections.refusals == {SHARE: MANY - connections.share, CAPACITY: 0}
    assert (connections.used, connections.waiting, connections.holders) == (0, 0, 0)


async def test_a_request_that_waits_for_a_connection_ends_when_its_client_disconnects(
    service: RunningService,
) -> None:
    connections, port = service.container.database.connections, service.container.config.port
    token = service.tokens.headers(new_tenant(), ["users:read"])["Authorization"]
    head = f"GET /common/held HTTP/1.1\r\nHost: here\r\nAuthorization: {token}\r\n\r\n"
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MANY)]
    for _, writer in clients:
        writer.write(head.encode())

    async def all_wait() -> bool:
        return connections.used + connections.waiting == MANY

    await eventually(all_wait, "all requests hold a connection or wait for one")
    for _, writer in clients:
        writer.close()

    async def nothing_is_left() -> bool:
        return (connections.used, connections.waiting, connections.holders) == (0, 0, 0)

    await eventually(nothing_is_left, "no request holds a connection or waits for one")
    assert connections.refusals == {SHARE: 0, CAPACITY: 0}
    await assert_others_are_served(service)


async def test_an_exhausted_pool_is_not_reported_as_a_postgresql_that_does_not_answer(service: RunningService) -> None:
    database = service.container.database
    async with AsyncExitStack() as stack:
        for _ in range(database.pool.get_max_size()):  # the process's own work, which has no share
            await stack.enter_async_context(database.connection())
        [answer] = await asyncio.gather(*send(service, "/common/rows", new_tenant()))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    problem = await answer.get_json()
    assert problem["code"] == "capacity_exceeded"
    assert problem["detail"] == "This process is at its capacity of database connections. Try again."
    assert database.connections.refusals == {SHARE: 0, CAPACITY: 1}
    await assert_others_are_served(service)
