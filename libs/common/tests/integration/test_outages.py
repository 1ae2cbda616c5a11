"""Servers that are away: what still works, what is said, and that nobody has to help when they are back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from quart import Quart

from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig
from quartet_common.data.cache import ignore_cache_failure
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import requires
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, run_service
from quartet_testing.stopwatch import stopwatch


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    """An app that asks PostgreSQL, and one thing of the cache."""
    app = create_base_app(container, title="Common")

    @app.get("/common/rows")
    @requires("users:read")
    async def rows() -> dict[str, int]:
        async with container.database.transaction() as connection:
            return {"one": await connection.fetchval("SELECT 1")}

    @app.get("/common/cached")
    @requires("users:read")
    async def cached() -> dict[str, bool]:
        found = await ignore_cache_failure(lambda: container.redis.set("key", "value"))
        return {"cached": bool(found)}

    return app


@pytest.fixture
async def service(config: ServiceConfig) -> AsyncIterator[RunningService]:
    made = Service(
        package="quartet_common", config_class=type(config), create_app=create_app, subscriptions=lambda _: []
    )
    async with run_service(made, config) as running:
        yield running


@asynccontextmanager
async def stopped(servers: Stack, name: str) -> AsyncIterator[None]:
    """That server is away inside the block and back after it."""
    await asyncio.to_thread(servers.stop, name)
    try:
        yield
    finally:
        await asyncio.to_thread(servers.start, name)


async def test_without_postgresql_the_answer_is_503_within_a_second_and_it_recovers_by_itself(
    service: RunningService, servers: Stack
) -> None:
    headers = service.tokens.headers("default", ["users:read"])
    assert (await service.client.get("/common/rows", headers=headers)).status_code == 200
    async with stopped(servers, "postgres"):
        for _ in range(3):
            async with stopwatch() as watch:
                response = await service.client.get("/common/rows", headers=headers)
            assert watch.seconds < 1
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert (await response.get_json())["code"] == "postgresql_unavailable"

    async def recovered() -> bool:
        return (await service.client.get("/common/rows", headers=headers)).status_code == 200

    await eventually(recovered, "the service answers again")


async def test_many_requests_without_postgresql_are_all_answered_within_a_second(
    service: RunningService, servers: Stack
) -> None:
    headers = service.tokens.headers("default", ["users:read"])

    async def timed() -> tuple[int, float]:
        async with stopwatch() as watch:
            response = await service.client.get("/common/rows", headers=headers)
        return response.status_code, watch.seconds

    assert {(await timed())[0] for _ in range(10)} == {200}
    async with stopped(servers, "postgres"):
        answers = await asyncio.gather(*(timed() for _ in range(30)))
    assert {status for status, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < 1


async def say_nothing(*_: object) -> None:
    """What a server does behind a network that drops packets, after it has accepted a connection."""
    await asyncio.Event().wait()


async def test_a_postgresql_that_does_not_answer_is_not_waited_for(service: RunningService, servers: Stack) -> None:
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    headers = service.tokens.headers("default", ["users:read"])
    pool = service.container.database.pool
    before = service.container.config.database_url
    hidden = service.container.config.database_password.get_secret_value()
    try:
        pool.set_connect_args(f"postgresql://quartet_common@127.0.0.1:{port}/quartet", password=hidden, timeout=0.8)
        await pool.expire_connections()
        async with stopwatch() as watch:
            response = await service.client.get("/common/rows", headers=headers)
        assert response.status_code == 503
        assert watch.seconds < 1
    finally:
        pool.set_connect_args(before, password=hidden, timeout=0.8, server_settings={"search_path": "common"})
        silent.close()

    async def recovered() -> bool:
        return (await service.client.get("/common/rows", headers=headers)).status_code == 200

    await eventually(recovered, "the service answers again")


async def test_without_postgresql_it_lives_but_is_not_ready_and_says_why(
    service: RunningService, servers: Stack
) -> None:
    assert (await service.client.get("/common/health/ready")).status_code == 200
    async with stopped(servers, "postgres"):
        assert (await service.client.get("/common/health/live")).status_code == 200
        response = await service.client.get("/common/health/ready")
        assert response.status_code == 503
        problem = {"postgresql": "is unavailable"}
        assert await response.get_json() == {"status": "not ready", "down": ["postgresql"], "reasons": problem}

    async def ready() -> bool:
        return (await service.client.get("/common/health/ready")).status_code == 200

    await eventually(ready, "the service is ready again")


async def test_a_refusal_without_postgresql_is_still_a_refusal(service: RunningService, servers: Stack) -> None:
    async with stopped(servers, "postgres"):
        assert (await service.client.get("/common/rows")).status_code == 401
        wrong = service.tokens.headers("default", ["groups:read"])
        assert (await service.client.get("/common/rows", headers=wrong)).status_code == 403


async def test_without_redis_everything_works_and_the_cache_is_back_by_itself(
    service: RunningService, servers: Stack
) -> None:
    headers = service.tokens.headers("default", ["users:read"])

    async def cached() -> bool:
        response = await service.client.get("/common/cached", headers=headers)
        assert response.status_code == 200
        return bool((await response.get_json())["cached"])

    assert await cached()
    async with stopped(servers, "redis"):
        async with stopwatch() as watch:
            assert not await cached()
        assert watch.seconds < 1
        assert (await service.client.get("/common/rows", headers=headers)).status_code == 200
        assert (await service.client.get("/common/health/ready")).status_code == 200
    await eventually(cached, "the cache is used again")


async def test_a_service_starts_without_redis(config: ServiceConfig, servers: Stack) -> None:
    async with stopped(servers, "redis"):
        container = AppContainer(config)
        await container.open()
        assert await ignore_cache_failure(lambda: container.redis.get("key")) is None
        await container.close()
