"""Pytest fixtures for every package: the servers of the test run, started once, on ports and data of their own."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import pytest

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig, read_config
from quartet_testing.limits import WIDE

C = TypeVar("C", bound=ServiceConfig)

ConfigFor = Callable[[type[C]], C]

GROUPS = (("tests/e2e/faults/", "faults"), ("tests/e2e/", "stack"), ("cli/tests/integration/", "commands"))
"""By the beginning of a test's path: what shares servers, and so belongs into one process where several run tests."""


def group_of(path: str) -> str:
    """The group of the test at `path`, relative to the checkout."""
    if "/unit/" in path:
        return "unit"
    return next((group for beginning, group in GROUPS if path.startswith(beginning)), "servers")


SERVERS = {"servers", "stack"}
"""Fixtures that start servers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests stay together in one process (`--dist loadgroup`): each group starts its servers once. Mark the
    tests that need servers.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item.nodeid)))
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """PostgreSQL, Redis and RabbitMQ for integration tests; no service process runs. Tests may stop and start them."""
    with tempfile.TemporaryDirectory(prefix="quartet-test-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.start_servers()
            yield stack
        finally:
            stack.down()
            remove(stack.home)


@pytest.fixture(scope="session")
def config_for(servers: Stack) -> Callable[[type[C]], C]:
    """Gives the config of a service on the test run's servers."""

    def make(config_class: type[C]) -> C:
        environment = servers.environment(config_class.service, "api")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARTET_")}
        with patch.dict(os.environ, {**kept, **environment}, clear=True):
            return read_config(config_class)

    return make
