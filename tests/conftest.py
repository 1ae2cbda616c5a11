"""What the tests of the whole share: a stack of the run's own, or the one that QUARTET_E2E_URL and _TOKEN name."""

import asyncio
import base64
import importlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from quartet_cli.layout import SERVICES
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_testing.client import ORIGIN, Api, TokenFor
from quartet_testing.clusters import skip_fsync
from quartet_testing.faults import back
from quartet_testing.limits import WIDE
from quartet_testing.services import new_tenant
from quartet_testing.traces import TraceReceiver

URL, TOKEN = "QUARTET_E2E_URL", "QUARTET_E2E_TOKEN"
LOCAL = "local_stack"

SETTINGS: dict[str, Any] = {
    "database_url": "postgresql://nobody@127.0.0.1/none",
    "database_password": "none",
    "redis_url": "redis://127.0.0.1/0",
    "redis_password": "none",
    "broker_url": "amqp://nobody@127.0.0.1/",
    "broker_password": "none",
    "users_url": "http://127.0.0.1:1",
    "groups_url": "http://127.0.0.1:1",
    "client_secret": "none",
    "master_key": base64.urlsafe_b64encode(bytes(32)).decode(),
    "bootstrap_clients": "[]",
}
"""Enough to make an application that is never opened."""


def pytest_configure() -> None:
    """Refuse half of what a stack from elsewhere needs."""
    if (URL in os.environ) != (TOKEN in os.environ):
        raise pytest.UsageError(f"{URL} and {TOKEN} go together")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Against a stack from elsewhere, leave out what needs a stack of one's own."""
    if URL not in os.environ:
        return
    local = [item for item in items if item.get_closest_marker(LOCAL) is not None]
    config.hook.pytest_deselected(items=local)
    items[:] = [item for item in items if item not in local]


@pytest.fixture(scope="session")
def traces() -> Iterator[TraceReceiver]:
    """Receives the spans of the stack; those of requests with a sampled traceparent only."""
    with TraceReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def stack(traces: TraceReceiver) -> Iterator[Stack]:
    """A whole stack on ports and data of its own, for tests marked local_stack; gone without a trace afterwards."""
    settings = {
        "QUARTET_OTLP_ENDPOINT": traces.endpoint,
        "QUARTET_TRACE_SAMPLE_RATIO": "0",
        "QUARTET_CORS_ORIGINS": f'["{ORIGIN}"]',
        "QUARTET_REPAIR_QUEUES": "true",
        "QUARTET_DATABASE_TIMEOUT": "30",  # fault tests hold rows, for seconds on a loaded machine
        **WIDE,
    }
    with tempfile.TemporaryDirectory(prefix="quartet-e2e-", ignore_cleanup_errors=True) as home:
        running = Stack(Path(home), None, extra_environment=settings, temporary=True)
        try:
            running.up()
            skip_fsync(running)
            yield running
        finally:
            running.down()
            remove(running.home)


@pytest.fixture
def token_for(stack: Stack) -> TokenFor:
    """Gives a token of the own stack: `await token_for(tenant, scope)`; all scopes without one."""

    async def fetch(tenant: str, scope: str | None = None) -> str:
        return await asyncio.to_thread(stack.token, tenant, scope)

    return fetch


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """A client with all scopes: for a tenant of the test's own, or for the tenant of the token from elsewhere."""
    if URL in os.environ:
        client = Api(os.environ[URL], os.environ[TOKEN])
    else:
        running: Stack = request.getfixturevalue("stack")
        client = Api(running.url, await asyncio.to_thread(running.token, new_tenant()))
    async with client:
        yield client


@pytest.fixture
async def other(stack: Stack) -> AsyncIterator[Api]:
    """A client with all scopes for a second tenant."""
    async with Api(stack.url, await asyncio.to_thread(stack.token, new_tenant())) as client:
        yield client


@pytest.fixture
async def whole_stack(stack: Stack) -> AsyncIterator[None]:
    """For fault tests: every process is ready before the test, and recovers after it."""
    await asyncio.to_thread(stack.up)  # a test that failed may have left something stopped
    yield
    await back(stack)


@pytest.fixture(scope="session")
def services() -> dict[str, Service[Any]]:
    """What tells each service from the others, by its name."""
    return {name: importlib.import_module(f"quartet_{name}.app").SERVICE for name in SERVICES}


@pytest.fixture(scope="session")
def containers(services: dict[str, Service[Any]]) -> dict[str, AppContainer[ServiceConfig]]:
    """A container of each service that is never opened."""
    return {name: AppContainer(service.config_class(**SETTINGS)) for name, service in services.items()}


@pytest.fixture(scope="session")
def apps(services: dict[str, Service[Any]], containers: dict[str, AppContainer[ServiceConfig]]) -> dict[str, Quart]:
    """The application of each service, with all its routes."""
    return {name: service.create_app(containers[name]) for name, service in services.items()}
