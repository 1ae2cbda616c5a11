"""Workers and apis that are stopped while PostgreSQL is down or hangs: they end in time, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Self

import httpx
import pytest
from quart import Quart

from quartet_cli import ports
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig
from quartet_common.data.connections import Connection, SingleConnection, connect_once
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.subscriptions import Handler, Subscription
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, Worker
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import public
from quartet_serving.tasks import end_tasks
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused, somebody_waits, stopped
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    MakeEvent,
    Recording,
    Thing,
    add,
    drained,
    messages_in,
    put_batch,
)
from quartet_testing.services import new_tenant, serve_service
from quartet_testing.stopwatch import stopwatch

Away = Callable[[Stack, str], AbstractAsyncContextManager[None]]
away = pytest.mark.parametrize("away", [stopped, paused], ids=["down", "hanging"])


def service_of(config: ServiceConfig, handler: Handler, create_app: Any = None) -> Service[Any]:
    """The service `common` with one handler, or with an app."""
    return Service("quartet_common", type(config), create_app, lambda _: [Subscription("common.#", handler)])


class Process:
    """A worker in this process, with a container of its own; it runs inside the block."""

    def __init__(self, config: ServiceConfig, handler: Handler) -> None:
        [port] = ports.choose(1, set())
        own = config.model_copy(update={"private_port": port})
        self._container: AppContainer[Any] = AppContainer(own)
        self._service = service_of(own, handler)
        self._running: asyncio.Future[None]

    async def __aenter__(self) -> Self:
        await self._container.open()
        self._running = asyncio.ensure_future(Worker(self._service, self._container).run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_tasks([self._running])
        await self._container.close()

    async def stop(self) -> float:
        """What SIGTERM does; returns the seconds until the end."""
        async with stopwatch() as watch:
            self._container.stopping.set()
            await self._running
            await self._container.close()
        return watch.seconds


@asynccontextmanager
async def outbox_locked(container: Container) -> AsyncIterator[SingleConnection]:
    """A relay that has published the rows waits inside the block before it moves them."""
    connection = await connect_once(container.config)
    try:
        await connection.execute("BEGIN; SELECT FROM outbox FOR UPDATE")
        yield connection
    finally:
        connection.terminate()  # also without PostgreSQL


@away
async def test_a_worker_ends_in_time_and_another_one_finishes_what_it_had_begun(
    container: Container, channel: Channel, servers: Stack, event: MakeEvent, thing: Thing, away: Away
) -> None:
    tenant, begun, go_on, handler = new_tenant(), asyncio.Event(), asyncio.Event(), Recording()

    async def begin(connection: Connection, _: Sequence[Event]) -> None:
        begun.set()
        await go_on.wait()
        await connection.execute("SELECT")

    async def is_done() -> bool:
        return len(set(handler.subjects)) == 50 and await messages_in(channel, NAMES.main) == 0

    await put_batch(channel, [encode(event(tenant, subject=f"things/{number}")) for number in range(20)])
    await add(container, tenant, [thing(str(number)) for number in range(20, 40)])
    async with outbox_locked(container) as connection, Process(container.config, begin) as worker:
        await begun.wait()
        await somebody_waits(connection, "published_events")
        await add(container, tenant, [thing(str(number)) for number in range(40, 50)])
        assert await messages_in(channel, NAMES.main) == 1
        async with away(servers, "postgres"):
            go_on.set()
            assert await worker.stop() < container.config.shutdown_timeout
    async with Process(container.config, handler) as another:
        await eventually(is_done, "all events to be handled", 60)
        await drained(container)
        await another.stop()
    assert sorted(handler.subjects) == sorted(f"things/{number}" for number in range(50))


@away
async def test_an_api_ends_in_time_and_answers_the_request_that_waits_for_postgresql(
    container: Container, servers: Stack, away: Away
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    def create_app(own: Container) -> Quart:
        app = create_base_app(own, title="Common")

        @app.get("/common/slow")
        @public
        async def slow() -> str:
            begun.set()
            await go_on.wait()
            async with own.database.transaction() as connection:
                await connection.execute("SELECT")
            return "done"

        return app

    service = service_of(container.config, Recording(), create_app)
    async with AsyncExitStack() as stack, httpx.AsyncClient(trust_env=False) as client:
        running = await stack.enter_async_context(serve_service(service, container.config))
        asking = asyncio.ensure_future(client.get(f"http://127.0.0.1:{running.container.config.port}/common/slow"))
        await begun.wait()
        async with away(servers, "postgres"):
            async with stopwatch() as watch:
                go_on.set()
                await stack.aclose()
            answer = await asking
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert watch.seconds < container.config.shutdown_timeout
