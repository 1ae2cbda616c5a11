"""What the tests of libs/common share: a service of their own, named `common`, with a role, a schema and a queue."""

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import aio_pika
import asyncpg
import pytest

from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig, read_config
from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import SUCCESS, Event
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.stats import ConsumerStats
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import RETRY_DELAYS, QueueNames
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, prepare
from quartet_testing.conditions import eventually

PASSWORD = "common"
MAKE_ROLE = f"""
CREATE ROLE quartet_common LOGIN PASSWORD '{PASSWORD}';
GRANT CONNECT, CREATE ON DATABASE quartet TO quartet_common;
CREATE SCHEMA common AUTHORIZATION quartet_common;
"""
CONSUMERS = {"common": ("common.#",), "common.revocations": ("users.token.revoked.v1", "users.origin.*.v1")}


class CommonConfig(ServiceConfig):
    """The config of the tests' own service."""

    service: ClassVar[str] = "common"


class Totals(ConsumerStats):
    """Consumer stats that can be read back."""

    def __init__(self) -> None:
        super().__init__()
        self.results: Counter[str] = Counter()

    def count(self, result: str, number: int = 1) -> None:
        super().count(result, number)
        if number:
            self.results[result] += number

    async def reach(self, number: int) -> None:
        """Wait until `number` messages have ended, whichever way."""

        async def reached() -> bool:
            return self.results.total() >= number

        await eventually(reached, f"{number} messages are handled", timeout=60)


@pytest.fixture
def totals() -> Totals:
    """Numbers of a consumer."""
    return Totals()


@pytest.fixture
def settings() -> dict[str, Any]:
    """What a config needs at the least; no server is meant."""
    return {
        "database_url": "postgresql://quartet_common@127.0.0.1:1/quartet",
        "database_password": "database-secret",
        "redis_url": "redis://127.0.0.1:1/0",
        "redis_password": "redis-secret",
        "broker_url": "amqp://quartet@127.0.0.1:1/",
        "broker_password": "broker-secret",
        "users_url": "http://127.0.0.1:1",
        "client_secret": "client-secret",
    }


@pytest.fixture
def lone_config(settings: dict[str, Any]) -> CommonConfig:
    """A config of no servers at all."""
    return CommonConfig(**settings)


@pytest.fixture(scope="session")
async def config(servers: Stack) -> CommonConfig:
    """The config of the service `common` on the test run's servers, with schema and queues made."""
    secret = (servers.home.secrets / "postgres/password").read_text().strip()
    port = servers.state.ports["postgres"]
    owner = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", password=secret, database="quartet")
    try:
        await owner.execute(MAKE_ROLE)
    finally:
        await owner.close()
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QUARTET_")},
        **servers.environment("metrics", "api"),
        "QUARTET_DATABASE_URL": f"postgresql://quartet_common@127.0.0.1:{port}/quartet",
        "QUARTET_DATABASE_PASSWORD": PASSWORD,
        "QUARTET_TRUSTED_PROXIES": "0",
    }
    with patch.dict(os.environ, variables, clear=True):
        made = read_config(CommonConfig).model_copy(update={"consumers": CONSUMERS})
    await prepare(make_service([]), made)
    return made


def make_service(subscriptions: Sequence[Subscription]) -> Service[CommonConfig]:
    """The service `common`, which listens to `common.#`. Its package is this library, which has migrations."""

    def no_app(_: AppContainer[CommonConfig]) -> Any:
        raise AssertionError("the tests make their apps themselves")

    return Service(
        package="quartet_common",
        config_class=CommonConfig,
        create_app=no_app,
        subscriptions=lambda _: subscriptions or [Subscription("common.#", _ignore)],
    )


async def _ignore(*_: Any) -> None:
    return None


@pytest.fixture
async def container(config: CommonConfig) -> AsyncIterator[AppContainer[CommonConfig]]:
    """An open container."""
    made = AppContainer(config)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def channel(container: AppContainer[CommonConfig]) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel; all queues of `common` and its outbox are empty at the start."""
    names = QueueNames("common")
    async with container.broker.connection("test") as connection:
        made = await connection.channel()
        for name in (*(names.delay(seconds) for seconds in RETRY_DELAYS), names.main, names.dead):
            await (await made.get_queue(name)).purge()
        async with container.database.transaction() as database:
            await database.execute("TRUNCATE outbox, inbox, dead_letters, redrives, consumer_pauses")
        yield made


@pytest.fixture
def event() -> Callable[..., Event]:
    """Makes an event that nobody else has."""

    def make(tenant: str, type_: str = "common.thing.happened.v1", **changes: Any) -> Event:
        values: dict[str, Any] = {
            "id": new_id(),
            "source": "/common",
            "type": f"quartet.{type_}",
            "subject": "things/1",
            "time": datetime.now(UTC),
            "tenantid": tenant,
            "actorid": "tester",
            "sequence": 1,
            "outcome": SUCCESS,
            "data": {},
        }
        return Event(**{**values, **changes})

    return make


@pytest.fixture
def thing() -> Callable[..., DomainEvent]:
    """Makes what a domain function returns: the event of a thing of that name."""

    def make(name: str, sequence: int = 1, type_: str = "common.thing.happened.v1") -> DomainEvent:
        return DomainEvent(type_, f"things/{name}", sequence, {"number": sequence})

    return make


@pytest.fixture
def sql_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes migration files and returns their folder."""

    def make(**files: str) -> Path:
        for name, text in files.items():
            (tmp_path / f"{name.lstrip('_')}.sql").write_text(text)
        return tmp_path

    return make
