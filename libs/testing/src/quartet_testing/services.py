"""Services inside the test's process, on the real PostgreSQL, Redis and RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from quart import Quart
from quart.typing import TestClientProtocol

from quartet_cli import ports
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig
from quartet_common.messaging.envelope import Event, decode
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, prepare
from quartet_common.runtime.server_settings import public_config
from quartet_serving.server import serve_app
from quartet_testing.conditions import eventually
from quartet_testing.tokens import TokenFactory


def new_tenant() -> str:
    """A tenant that no other test has: what isolates tests from each other."""
    return f"test-{uuid4().hex[:12]}"


class RunningService:
    """A service whose app runs in this process: `client` sends requests to it, `tokens` signs for it."""

    def __init__(self, app: Quart, container: AppContainer[Any], tokens: TokenFactory) -> None:
        self.app = app
        self.container = container
        self.tokens = tokens
        self.client: TestClientProtocol = app.test_client()

    async def outbox(self, tenant: str) -> list[Event]:
        """The events of `tenant` that wait in the outbox, in order (no relay runs)."""
        async with self.container.database.connection() as connection:
            rows = await connection.fetch("SELECT event FROM outbox WHERE tenant_id = $1 ORDER BY id", tenant)
        return [decode(row["event"]) for row in rows]


@asynccontextmanager
async def run_service(
    service: Service[Any], config: ServiceConfig, owner: ServiceConfig | None = None, **container_options: Any
) -> AsyncIterator[RunningService]:
    """Migrate `service`, as `owner` if its tables have one, and run its app in this process, without its worker."""
    await prepare(service, owner or config)
    tokens = TokenFactory(config.issuer)
    container: AppContainer[Any] = AppContainer(config, **container_options)
    container.key_finder = tokens.find_key
    app = service.create_app(container)
    async with app.test_app():
        yield RunningService(app, container, tokens)


@asynccontextmanager
async def serve_service(
    service: Service[Any], config: ServiceConfig, owner: ServiceConfig | None = None
) -> AsyncIterator[RunningService]:
    """As `run_service`, and the app also answers on the port of `container.config`, for clients that misbehave."""
    await prepare(service, owner or config)
    tokens = TokenFactory(config.issuer)
    [port] = ports.choose(1, set())
    container: AppContainer[Any] = AppContainer(config.model_copy(update={"port": port}))
    container.key_finder = tokens.find_key
    app = service.create_app(container)
    running = asyncio.ensure_future(serve_app(app, public_config(container.config), container.stopping))

    async def listens() -> bool:
        assert not running.done(), running.exception()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(listens, "the service listens")
    try:
        yield RunningService(app, container, tokens)
    finally:
        container.stopping.set()
        await running


def direct(stack: Stack, path: str) -> str:
    """The URL of a route at its service itself, where services call each other: the proxy does not let them through."""
    service = f"{path.split('/')[1]}-api"
    return f"http://127.0.0.1:{stack._ports()[service]}{path}"
