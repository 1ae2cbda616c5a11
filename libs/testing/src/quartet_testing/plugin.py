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
from quartet_common.config import ServiceConfig, read_config
from quartet_testing.limits import WIDE

C = TypeVar("C", bound=ServiceConfig)

ConfigFor = Callable[[type[C]], C]


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """PostgreSQL, Redis and RabbitMQ for integration tests; no service process runs. Tests may stop and start them."""
    with tempfile.TemporaryDirectory(prefix="quartet-test-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE)
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
