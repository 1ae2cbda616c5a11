"""Revocations in PostgreSQL: none is missed however transactions overlap, and while nobody can tell nobody gets in."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart

from quartet_cli.stack import Stack
from quartet_common.auth import revocation_list, revocation_store
from quartet_common.auth.principal import Principal
from quartet_common.auth.revocation_list import RevocationList
from quartet_common.auth.revocation_store import keep, prune
from quartet_common.auth.revocations import CLOCKS, KEPT, revocation
from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.web.app import create_base_app
from quartet_common.web.guard import requires
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused
from quartet_testing.messaging import Container
from quartet_testing.services import RunningService, new_tenant, run_service

NOW = datetime.now(UTC)


def holder(tenant: str, session: str) -> Principal:
    return Principal(tenant, "u", "c", frozenset(), 0, "t", NOW.timestamp(), session)


async def kept(container: Container, tenant: str) -> list[tuple[str, datetime, bool]]:
    async with container.database.connection() as connection:
        query = "SELECT id, revoked_at, endless FROM revocations WHERE tenant_id = $1 ORDER BY id"
        return [tuple(row) for row in await connection.fetch(query, tenant)]


async def test_only_the_latest_of_a_kind_and_id_counts_in_whatever_order_they_come(container: Container) -> None:
    tenant = new_tenant()
    first, second = revocation(tenant, "tenant", tenant, NOW, endless=True), NOW + timedelta(seconds=1)
    lifted = revocation(tenant, "tenant", tenant, second)
    for order in ([first, lifted], [lifted, first], [lifted], [first]):
        async with container.database.transaction() as connection:
            await keep(connection, order)
        assert await kept(container, tenant) == [(tenant, second, False)]


async def test_a_transaction_that_ends_long_after_a_younger_one_is_not_missed(container: Container) -> None:
    tenant, listed = new_tenant(), RevocationList(lambda: container.database)
    await listed.refresh()
    async with container.database.transaction() as early:
        await keep(early, [revocation(tenant, "session", "early", NOW)])
        for name in ("late-1", "late-2"):
            async with container.database.transaction() as late:
                await keep(late, [revocation(tenant, "session", name, NOW)])
            await listed.refresh()
            assert listed.reason(holder(tenant, name)) == "revoked"
            assert listed.reason(holder(tenant, "early")) is None, "it is not committed"
    await listed.refresh()
    assert listed.reason(holder(tenant, "early")) == "revoked"


async def test_while_many_revoke_and_one_reads_none_is_missed(container: Container) -> None:
    tenant, listed = new_tenant(), RevocationList(lambda: container.database)
    names = [uuid4().hex for _ in range(200)]
    waiting = asyncio.Semaphore(6)
    done = asyncio.Event()

    async def one(number: int) -> None:
        async with waiting, container.database.transaction() as connection:
            await keep(connection, [revocation(tenant, "session", names[number], NOW)])
            await connection.execute("SELECT pg_sleep($1)", number % 7 / 500)

    async def read() -> None:
        while not done.is_set():
            await listed.refresh()

    reading = asyncio.ensure_future(read())
    await asyncio.gather(*(one(number) for number in range(len(names))))
    done.set()
    await reading
    await listed.refresh()
    assert {listed.reason(holder(tenant, name)) for name in names} == {"revoked"}


async def test_what_was_read_is_not_read_again(container: Container) -> None:
    tenant, listed = new_tenant(), RevocationList(lambda: container.database)
    async with container.database.transaction() as connection:
        await keep(connection, [revocation(tenant, "session", "s", NOW)])
    await listed.refresh()
    async with container.database.connection() as connection:
        rows = await connection.fetch(revocation_store.READ, listed._horizon)
    assert [row["tenant_id"] for row in rows] == [None]


async def test_pruning_forgets_what_is_past_and_nothing_else(container: Container) -> None:
    tenant = new_tenant()
    old = NOW - KEPT - timedelta(seconds=1)
    made = [
        revocation(tenant, "session", "past", old),
        revocation(tenant, "session", "recent", NOW - KEPT + timedelta(minutes=1)),
        revocation(tenant, "tenant", tenant, old, endless=True),
        revocation(tenant, "token", "expired", NOW, expires_at=NOW - CLOCKS - timedelta(seconds=1)),
        revocation(tenant, "token", "good for long", old, expires_at=NOW),
    ]
    async with container.database.transaction() as connection:
        await keep(connection, made)
        await prune(connection, NOW)
    assert {name for name, _, _ in await kept(container, tenant)} == {"recent", tenant, "good for long"}


async def test_when_its_tokens_expire_is_kept_with_a_revocation(container: Container) -> None:
    tenant, listed = new_tenant(), RevocationList(lambda: container.database)
    end = NOW - CLOCKS - timedelta(seconds=1)
    async with container.database.transaction() as connection:
        await keep(connection, [revocation(tenant, "session", "s", NOW, expires_at=end)])
    await listed.refresh()
    assert listed.reason(holder(tenant, "s")) is None, "it was read, and forgotten at once"


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    """An app with a route that asks no server."""
    app = create_base_app(container, title="Common")

    @app.get("/common/nothing")
    @requires("users:read")
    async def nothing() -> dict[str, bool]:
        return {"done": True}

    return app


@pytest.fixture
def made(config: ServiceConfig) -> Service[Any]:
    return Service(
        package="quartet_common", config_class=type(config), create_app=create_app, subscriptions=lambda _: []
    )


@pytest.fixture
async def service(made: Service[Any], config: ServiceConfig) -> AsyncIterator[RunningService]:
    async with run_service(made, config) as running:
        yield running


async def status(service: RunningService, headers: dict[str, str]) -> int:
    return (await service.client.get("/common/nothing", headers=headers)).status_code


async def test_a_token_is_refused_soon_after_the_commit_and_also_by_an_api_that_starts_later(
    service: RunningService, made: Service[Any], config: ServiceConfig
) -> None:
    tenant = new_tenant()
    tokens = service.tokens
    ended, other = (tokens.headers(tenant, ["users:read"], sid=name) for name in ("ended", "other"))
    assert [await status(service, headers) for headers in (ended, other)] == [200, 200]
    async with service.container.database.transaction() as connection:
        await keep(connection, [revocation(tenant, "session", "ended", datetime.now(UTC))])

    async def refused() -> bool:
        return await status(service, ended) == 401

    await eventually(refused, "the token is refused")
    assert await status(service, other) == 200
    async with run_service(made, config) as second:
        second.container.verifier._find_key = tokens.find_key  # the same signer
        assert [await status(second, headers) for headers in (ended, other)] == [401, 200]


async def test_while_the_list_cannot_be_read_nobody_gets_in_and_then_everybody_does_again(
    service: RunningService, servers: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_list, "MAX_AGE", 1.5)
    headers = service.tokens.headers(new_tenant(), ["users:read"])
    assert await status(service, headers) == 200
    async with paused(servers, "postgres"):

        async def closed() -> bool:
            return await status(service, headers) == 503

        await eventually(closed, "nobody gets in")
        assert (await service.client.get("/common/nothing")).status_code == 401, "nothing has to be known for that"
        answer = await service.client.get("/common/nothing", headers=headers)
        assert answer.headers["Retry-After"] == "1"
        assert (await answer.get_json())["code"] == "postgresql_unavailable"

    async def open_again() -> bool:
        return await status(service, headers) == 200

    await eventually(open_again, "everybody gets in again")
