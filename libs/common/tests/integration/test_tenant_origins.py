"""Origins of tenants in PostgreSQL and in responses: versions, overlapping transactions, deletion, CORS."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aio_pika import Message
from quart import Quart

from quartet_common.auth.origin_list import OriginList
from quartet_common.auth.origin_store import TenantOrigins, keep, next_version
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.clock import utc_now
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.event_types import ORIGIN_ADDED
from quartet_common.messaging.topology import QueueNames, revocation_queue
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, _consumers
from quartet_common.runtime.tenant_deletion import Eraser, Erasure
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import public, requires
from quartet_testing.conditions import eventually
from quartet_testing.messaging import Channel, Container, MakeEvent, running
from quartet_testing.services import RunningService, new_tenant, run_service

APP, ADMIN = f"https://{new_tenant()}.example.com", f"https://{new_tenant()}.example.com"
"""Origins of this run only: other tests count on those that they refuse."""
NOBODYS = "https://evil.example.com"


async def store(container: Container, *changed: TenantOrigins) -> None:
    async with container.database.transaction() as connection:
        await keep(connection, changed)


async def stored(container: Container, tenant: str) -> list[tuple[int, list[str]]]:
    async with container.database.connection() as connection:
        rows = await connection.fetch("SELECT version, origins FROM tenant_origins WHERE tenant_id = $1", tenant)
    return [tuple(row) for row in rows]


async def test_only_the_newest_version_counts_in_whatever_order_they_come(container: Container) -> None:
    tenant = new_tenant()
    first, second = TenantOrigins(tenant, 1, [APP]), TenantOrigins(tenant, 2, [])
    for order in ([first, second], [second, first], [first], [second]):
        await store(container, *order)
        assert await stored(container, tenant) == [(2, [])]


async def test_versions_grow_with_each_change_and_with_the_time(container: Container) -> None:
    tenant, before = new_tenant(), (utc_now() - timedelta(minutes=1)).timestamp() * 1_000_000
    versions = []
    for number in range(3):
        async with container.database.transaction() as connection:
            versions.append(await next_version(connection, tenant))
            await keep(connection, [TenantOrigins(tenant, versions[-1], [APP] * number)])
    assert versions == sorted(set(versions))
    assert versions[0] > before, "a restored database continues behind what it has published"
    assert await stored(container, tenant) == [(versions[-1], [APP] * 2)]
    ahead = versions[-1] + 10**15  # a clock that was ahead
    await store(container, TenantOrigins(tenant, ahead, []))
    async with container.database.transaction() as connection:
        assert await next_version(connection, tenant) == ahead + 1


async def test_a_transaction_that_ends_after_a_younger_one_is_not_missed(container: Container) -> None:
    early, late = new_tenant(), new_tenant()
    origins = OriginList(lambda: container.database)
    await origins.refresh()
    async with container.database.transaction() as connection:
        await keep(connection, [TenantOrigins(early, 1, [APP])])
        await store(container, TenantOrigins(late, 1, [APP]))
        await origins.refresh()
        assert (origins.allowed(APP, early), origins.allowed(APP, late)) == (None, APP)
    await origins.refresh()
    assert origins.allowed(APP, early) == APP


async def test_a_deleted_tenant_has_no_origins_also_once_its_row_is_gone_and_gets_none_by_a_late_event(
    container: Container,
) -> None:
    tenant, own = new_tenant(), f"https://{new_tenant()}.example.com"
    await store(container, TenantOrigins(tenant, 1, [own]))
    origins = OriginList(lambda: container.database)
    await origins.refresh()
    assert origins.allowed(own, None) == own
    async with container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, tenant)

    behind = utc_now() + timedelta(seconds=5)
    await Eraser(lambda: container.database, lambda: behind, Erasure()).run()
    assert await stored(container, tenant) == []
    await origins.refresh()
    assert origins.allowed(own, tenant) is origins.allowed(own, None) is None
    await store(container, TenantOrigins(tenant, 2, [own]))
    assert await stored(container, tenant) == []


async def test_the_worker_of_each_service_stores_what_the_events_say(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    tenant, queue = new_tenant(), QueueNames(revocation_queue("common"))
    await (await channel.get_queue(queue.main)).purge()
    service: Service[Any] = Service("quartet_common", type(container.config), lambda _: Quart("none"), lambda _: [])
    [consumer] = _consumers(service, container)

    def added(version: int, *origins: str) -> Event:
        data = {"id": "x", "origin": APP, "version": version, "origins": origins}
        return event(tenant, ORIGIN_ADDED, data=data)

    async with running(consumer):
        exchange = await channel.get_exchange("quartet.events")
        for one in (added(2, APP, ADMIN), added(1, APP)):
            await exchange.publish(Message(encode(one), message_id=str(one.id)), ORIGIN_ADDED)
        await eventually(lambda: stored_as(container, tenant, (2, [APP, ADMIN])), "the origins are stored")


async def stored_as(container: Container, tenant: str, row: tuple[int, list[str]]) -> bool:
    return await stored(container, tenant) == [row]


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    app = create_base_app(container, title="Common")

    @app.get("/common/things")
    @requires("users:read")
    async def things() -> dict[str, str]:
        return {}

    @app.post("/common/login")
    @public
    async def login() -> dict[str, str]:
        return {}

    return app


@pytest.fixture
async def served(config: ServiceConfig) -> AsyncIterator[RunningService]:
    service: Service[Any] = Service("quartet_common", type(config), create_app, lambda _: [])
    async with run_service(service, config) as made:
        yield made


@pytest.fixture
async def owned(served: RunningService) -> tuple[str, str]:
    """A tenant, and an origin that only it has."""
    tenant = new_tenant()
    origin = f"https://{tenant}.example.com"
    await store(served.container, TenantOrigins(tenant, 1, [origin]))
    await served.container.origins.refresh()
    return tenant, origin


def granted(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers if name.lower().startswith("access-control-")}


PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


async def test_a_response_to_a_token_can_be_read_by_origins_of_its_tenant_only(
    served: RunningService, owned: tuple[str, str]
) -> None:
    tenant, origin = owned
    for who, status, scopes in ((tenant, 200, ["users:read"]), (tenant, 403, ["users:write"])):
        headers = {**served.tokens.headers(who, scopes), "Origin": origin}
        answer = await served.client.get("/common/things", headers=headers)
        assert (answer.status_code, granted(answer)["access-control-allow-origin"]) == (status, origin)
        assert "access-control-allow-credentials" not in granted(answer)
    stranger = {**served.tokens.headers(new_tenant(), ["users:read"]), "Origin": origin}
    answer = await served.client.get("/common/things", headers=stranger)
    assert (answer.status_code, granted(answer)) == (200, {})
    assert "Origin" in answer.headers.getlist("Vary")


async def test_a_response_without_a_valid_token_can_be_read_by_the_origins_of_all_tenants(
    served: RunningService, owned: tuple[str, str]
) -> None:
    _, origin = owned
    client = served.client
    cases: list[tuple[Any, str, dict[str, str], int]] = [
        (client.post, "/common/login", {}, 200),
        (client.get, "/common/things", {}, 401),
        (client.get, "/common/things", {"Authorization": "Bearer nonsense"}, 401),
        (client.get, "/common/nowhere", {}, 404),
    ]
    for send, path, headers, status in cases:
        answer = await send(path, headers={**headers, "Origin": origin})
        assert (answer.status_code, granted(answer)["access-control-allow-origin"]) == (status, origin)
        other = await send(path, headers={**headers, "Origin": NOBODYS})
        assert (other.status_code, granted(other)) == (status, {})


async def test_a_preflight_is_the_same_for_an_origin_of_one_tenant_as_of_another_and_names_none(
    served: RunningService, owned: tuple[str, str]
) -> None:
    tenant, origin = owned
    twin = f"https://{new_tenant()}.example.com"
    await store(served.container, TenantOrigins(new_tenant(), 1, [twin]))
    await served.container.origins.refresh()
    answers = []
    for one in (origin, twin):
        answer = await served.client.options("/common/things", headers={**PREFLIGHT, "Origin": one})
        own = {"x-request-id", "ratelimit", "access-control-allow-origin"}
        answers.append((answer.status_code, {(k.lower(), v) for k, v in answer.headers if k.lower() not in own}))
        assert granted(answer)["access-control-allow-origin"] == one
        assert granted(answer)["access-control-allow-headers"] == "authorization"
        assert "GET" in granted(answer)["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in granted(answer)
    assert answers[0] == answers[1]
    assert tenant not in str(answers[0])


@pytest.mark.parametrize("names", ["x y", "x,,y", "é", "x;y", ""])
async def test_names_of_headers_that_are_none_are_not_allowed(
    served: RunningService, owned: tuple[str, str], names: str
) -> None:
    headers = {**PREFLIGHT, "Origin": owned[1], "Access-Control-Request-Headers": names}
    answer = await served.client.options("/common/things", headers=headers)
    assert "access-control-allow-headers" not in granted(answer)


async def test_two_origins_are_none_and_every_answer_varies_by_origin(
    served: RunningService, owned: tuple[str, str]
) -> None:
    for sent in ([], [("Origin", owned[1]), ("Origin", owned[1])]):
        answer = await served.client.post("/common/login", headers=sent)
        assert granted(answer) == {}
        assert answer.headers.getlist("Vary") == ["Origin"]


async def test_an_app_that_starts_knows_the_origins_and_follows_changes_within_seconds(
    served: RunningService, owned: tuple[str, str], config: ServiceConfig
) -> None:
    tenant, origin = owned
    service: Service[Any] = Service("quartet_common", type(config), create_app, lambda _: [])
    async with run_service(service, config) as second:

        async def allowed() -> bool:
            answer = await second.client.options("/common/things", headers={**PREFLIGHT, "Origin": origin})
            return "access-control-allow-origin" in granted(answer)

        async def refused() -> bool:
            return not await allowed()

        assert await allowed()
        await store(served.container, TenantOrigins(tenant, 2, []))
        await eventually(refused, "the removed origin is refused", timeout=5)
        await store(served.container, TenantOrigins(tenant, 3, [origin]))
        await eventually(allowed, "the origin is allowed again", timeout=5)
