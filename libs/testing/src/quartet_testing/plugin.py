"""Pytest fixtures for every package: the servers of the test run, started once, on ports and data of their own."""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import httpx._transports.default as httpx_transport
import pytest

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig, read_config
from quartet_testing.clusters import skip_fsync
from quartet_testing.limits import WIDE

pytest_plugins = ["quartet_testing.distribution", "quartet_testing.failures", "quartet_testing.hangs"]

C = TypeVar("C", bound=ServiceConfig)

ConfigFor = Callable[..., C]
"""Gives the config of a service, of its api unless another process is named; that of `migrate` is the owner's."""

# Each client of httpx reads all certificate authorities, which takes 25 ms; tests make thousands of clients.
httpx_transport.create_ssl_context = functools.cache(httpx_transport.create_ssl_context)  # type: ignore[attr-defined]


SERVERS = {"servers", "stack"}
"""Fixtures that start servers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need servers."""
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """PostgreSQL, Redis and RabbitMQ for integration tests; no service process runs. Tests may stop and start them."""
    with tempfile.TemporaryDirectory(prefix="quartet-test-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.start_servers()
            skip_fsync(stack)
            yield stack
        finally:
            stack.down()
            remove(stack.home)


@pytest.fixture(scope="session")
def config_for(servers: Stack) -> Callable[..., C]:
    """Gives the config of a service on the test run's servers."""

    def make(config_class: type[C], process: str = "api") -> C:
        return config_of(servers, config_class, process)

    return make


def config_of(servers: Stack, config_class: type[C], process: str = "api") -> C:
    """The config of a service on `servers`, as its process there has it."""
    environment = servers.environment(config_class.service, process)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARTET_")}
    with patch.dict(os.environ, {**kept, **environment}, clear=True):
        return read_config(config_class)
