"""The container: opened in order, closed in reverse, also when opening fails half-way."""

from typing import Any, cast

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from quartet_common.auth import introspection
from quartet_common.auth.opaque_tokens import SCIM_TOKEN, make
from quartet_common.auth.principal import Principal
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.cache_counts import CacheCounts
from quartet_common.core.errors import ServiceError
from quartet_common.core.fair_share import FairShare
from quartet_common.runtime import container as module
from quartet_common.runtime.container import AppContainer
from quartet_testing.revocations import fresh_list

PARTS = ("database", "redis", "http", "verifier")


class Part:
    """Something that is opened and notes when it is closed."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.connections = FairShare("database connections", 1, 1, queue=0, timeout=1)
        log.append(f"open {name}")

    async def close(self) -> None:
        self.log.append(f"close {self.name}")

    async def aclose(self) -> None:
        await self.close()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened and closed, in order; the database and the HTTP client are fakes."""
    entries: list[str] = []

    async def open_database(_: ServiceConfig) -> Any:
        return Part("database", entries)

    monkeypatch.setattr(module, "open_database", open_database)
    monkeypatch.setattr(module, "open_http", lambda _: Part("http", entries))
    monkeypatch.setattr(module, "instrument_http", lambda _: None)
    return entries


async def test_parts_are_closed_in_reverse_order(lone_config: ServiceConfig, log: list[str]) -> None:
    container = AppContainer(lone_config)
    await container.open()
    await container.close()
    assert log == ["open database", "open http", "close http", "close database"]


async def test_when_opening_fails_half_way_what_is_open_is_closed_and_the_error_is_told(
    lone_config: ServiceConfig, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError("no sockets left")

    monkeypatch.setattr(module, "instrument_http", fail)
    container = AppContainer(lone_config)
    with pytest.raises(OSError, match="no sockets left"):
        await container.open()
    assert [entry for entry in log if entry.startswith("close")][-1] == "close database"
    assert log.count("open http") == log.count("close http")
    await container.close()
    assert log.count("close database") == 1


async def test_after_a_failed_opening_no_part_can_be_had(
    lone_config: ServiceConfig, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError("no sockets left")

    monkeypatch.setattr(module, "open_http", fail)
    container = AppContainer(lone_config)
    with pytest.raises(OSError, match="no sockets left"):
        await container.open()
    with pytest.raises(RuntimeError, match="not open: database"):
        _ = container.database


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_cannot_be_had_before_opening_nor_after_closing(
    lone_config: ServiceConfig, log: list[str], part: str
) -> None:
    container = AppContainer(lone_config)
    with pytest.raises(RuntimeError, match="not open"):
        getattr(container, part)
    await container.open()
    assert getattr(container, part) is not None
    await container.close()
    with pytest.raises(RuntimeError, match="not open"):
        getattr(container, part)


async def test_closing_twice_and_closing_what_was_never_open_do_nothing(
    lone_config: ServiceConfig, log: list[str]
) -> None:
    container = AppContainer(lone_config)
    await container.close()
    await container.open()
    await container.close()
    await container.close()
    assert log.count("close database") == 1


async def test_a_container_can_be_opened_again(lone_config: ServiceConfig, log: list[str]) -> None:
    container = AppContainer(lone_config)
    for _ in range(2):
        await container.open()
        await container.close()
    assert log == ["open database", "open http", "close http", "close database"] * 2


async def test_a_client_of_a_service_can_be_made_before_opening(lone_config: ServiceConfig, log: list[str]) -> None:
    container = AppContainer(lone_config)
    client = container.service_client("users", "http://users.example.com")
    assert client is not None


async def test_opaque_tokens_are_asked_about_at_users_unless_the_service_finds_them_itself(
    lone_config: ServiceConfig, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Remote:
        def __init__(self, _: object, *settings: str, counts: CacheCounts) -> None:
            assert counts.name == "answers about SCIM tokens"
            asked.append(settings)

        async def find(self, _: str) -> Principal | None:
            return Principal("acme", "remote", "remote", frozenset(), 2**40)

    async def find(_: str) -> Principal | None:
        return Principal("acme", "own", "own", frozenset(), 2**40)

    monkeypatch.setattr(introspection, "RemoteTokens", Remote)
    actors = []
    for finder in (None, find):
        container = AppContainer(lone_config)
        container.opaque_finder = finder
        container.revocations = await fresh_list()
        await container.open()
        actors.append((await container.verifier.verify(make(SCIM_TOKEN, "acme"))).actor)
        await container.close()
    assert actors == ["remote", "own"]
    assert asked[0] == (lone_config.users_url, "quartet-common", "client-secret")


def measured(reader: InMemoryMetricReader) -> dict[tuple[Any, ...], Any]:
    """The values of all metrics of shares, by name without the prefix, resource and reason."""
    found = reader.get_metrics_data()
    assert found is not None
    return {
        (metric.name.removeprefix("quartet.shares."), *(point.attributes or {}).values()): cast(Any, point).value
        for resource in found.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name.startswith("quartet.shares.")
        for point in metric.data.data_points
    }


async def test_a_share_that_is_added_to_the_container_has_metrics(
    lone_config: ServiceConfig, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = InMemoryMetricReader()
    monkeypatch.setattr("quartet_common.core.fair_share.metrics", MeterProvider([reader]))
    container = AppContainer(lone_config)
    await container.open()
    things = FairShare("things", 4, 2, queue=0, timeout=1)
    container.shares.append(things)
    async with things.hold("acme", 2):
        with pytest.raises(ServiceError, match="share_exceeded"):
            await things.acquire("acme")
        found = {name: value for name, value in measured(reader).items() if "things" in name}
        assert found == {
            ("used", "things"): 2,
            ("capacity", "things"): 4,
            ("per_tenant", "things"): 2,
            ("waiting", "things"): 0,
            ("tenants", "things"): 1,
            ("refused", "things", "share"): 1,
            ("refused", "things", "capacity"): 0,
        }
    await container.close()


def test_parts_of_a_process_share_one_object_of_a_class(lone_config: ServiceConfig) -> None:
    container = AppContainer(lone_config)
    log = container.shared(list)
    log.append("noted")
    assert container.shared(list) is log
    assert container.shared(Part, lambda: Part("cache", log)) is container.shared(Part)
    assert log == ["noted", "open cache"]
