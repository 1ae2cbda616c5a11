"""Comparisons on the real servers: what keeps them from being made, and each night once."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest
from aio_pika import Message

from quartet_common.messaging.topology import RETRY_DELAYS, QueueNames
from quartet_metrics.reconciliation import queue_client, reconciliation_store
from quartet_metrics.reconciliation.queue_client import find_waiting
from quartet_metrics.reconciliation.reconciliation_domain import Compared, Gauge
from quartet_metrics.reconciliation.reconciliation_usecases import Reconciler, Result, reconciling
from quartet_metrics.series import series_store
from quartet_metrics.series.series_domain import Place, SeriesKey
from quartet_testing.services import RunningService, new_tenant

ACTIVE = Gauge("quartet_users", ("active",))


@asynccontextmanager
async def waiting_in(metrics: RunningService, name: str) -> AsyncIterator[None]:
    """A message is in a queue inside the block."""
    async with metrics.container.broker.connection("test") as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(Message(b"{}"), name)
        try:
            yield
        finally:
            await (await channel.get_queue(name)).purge()


async def test_a_consumer_has_got_all_events_when_its_queue_is_empty_and_nothing_is_retried(
    metrics: RunningService, consuming: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_client, "PATIENCE", 0.5)
    broker, names = metrics.container.broker, QueueNames("metrics")
    assert "no worker runs" in str(await find_waiting(broker, "metrics"))
    async with consuming():  # type: ignore[attr-defined]
        monkeypatch.setattr(queue_client, "PATIENCE", 10)
        assert await find_waiting(broker, "metrics") is None
        async with waiting_in(metrics, names.dead):
            assert "1 failed messages of metrics" in str(await find_waiting(broker, "metrics"))
        async with waiting_in(metrics, names.delay(RETRY_DELAYS[-1])):
            assert "1 failed messages of metrics are retried" in str(await find_waiting(broker, "metrics"))


async def test_messages_at_the_queue_keep_a_comparison_from_being_made(
    metrics: RunningService, queue: aio_pika.abc.AbstractQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_client, "PATIENCE", 0.5)
    tenant = new_tenant()
    async with waiting_in(metrics, queue.name):
        result = await Reconciler(metrics.container).reconcile(tenant, repair=True)
    assert result.compared == {}
    assert result.problems
    async with metrics.container.database.connection() as connection:
        assert not await reconciliation_store.read_drifts(connection, tenant)
        assert await connection.fetchval("SELECT count(*) FROM series WHERE tenant_id = $1", tenant) == 0


async def test_a_correction_of_an_older_comparison_is_not_made(metrics: RunningService) -> None:
    tenant, reconciler = new_tenant(), Reconciler(metrics.container)
    key, now = SeriesKey(tenant, *ACTIVE), datetime.now(UTC).replace(second=0, microsecond=0)
    async with metrics.container.database.transaction() as connection:
        await series_store.add_amounts(connection, {Place(key, now): 7}, {})
    old = Result(tenant, 0, {ACTIVE: Compared(7, 4)})
    assert await reconciler._note(old, repair=True)
    assert not await reconciler._note(old, repair=True)
    async with metrics.container.database.connection() as connection:
        totals = await connection.fetch("SELECT total FROM series WHERE tenant_id = $1", tenant)
    assert [row["total"] for row in totals] == [4]
    events = [event.type for event in await metrics.outbox(tenant)]
    assert events == ["quartet.metrics.drift.repaired.v1"]


async def test_only_tenants_that_were_not_compared_completely_are_due(metrics: RunningService) -> None:
    tenant, now = new_tenant(), datetime.now(UTC)
    reconciler = Reconciler(metrics.container)
    async with metrics.container.database.transaction() as connection:
        place = Place(SeriesKey(tenant, *ACTIVE), now.replace(second=0, microsecond=0))
        await series_store.add_amounts(connection, {place: 7}, {})

    async def due() -> bool:
        async with metrics.container.database.connection() as connection:
            found = await reconciliation_store.read_tenants(connection, tenant[:-1], 1000, now)
        return tenant in {one.tenant for one in found}

    assert await due()
    assert await reconciler._note(Result(tenant, 0, {ACTIVE: Compared(7, 7)}, ("audit is unavailable",)), repair=False)
    assert await due()
    assert await reconciler._note(Result(tenant, 1, {ACTIVE: Compared(7, 7)}), repair=False)
    assert not await due()


async def test_each_tenant_is_compared_once_a_night(metrics: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, compared = new_tenant(), list[str]()
    container, hour = metrics.container, metrics.container.config.reconciliation_hour
    night = datetime.now(UTC).replace(hour=hour, minute=30) + timedelta(days=1)
    async with container.database.transaction() as connection:
        place = Place(SeriesKey(tenant, *ACTIVE), night.replace(second=0, microsecond=0))
        await series_store.add_amounts(connection, {place: 7}, {})

    async def reconcile(self: Reconciler, one: str) -> Result:
        result = Result(one, compared.count(one), {ACTIVE: Compared(7, 7)})
        compared.append(one)
        await self._note(result, repair=False)
        return result

    monkeypatch.setattr(Reconciler, "reconcile", reconcile)
    schedule = reconciling(container)
    for time, number in (
        (night - timedelta(hours=1), 0),
        (night, 1),
        (night + timedelta(hours=1), 1),
        (night + timedelta(hours=12), 1),
        (night + timedelta(days=1), 2),
    ):
        monkeypatch.setattr(container, "clock", lambda at=time: at)
        await schedule.action()
        assert compared.count(tenant) == number, time


async def test_an_unknown_tenant_name_and_a_missing_scope_are_refused(metrics: RunningService) -> None:
    headers = metrics.tokens.headers("quartet", ["platform:admin"])
    refused = await metrics.client.post("/metrics/reconciliation", json={"tenant": "Not A Tenant"}, headers=headers)
    assert refused.status_code == 400
    assert "tenant" in (await refused.get_json())["detail"]
    own = metrics.tokens.headers(new_tenant(), ["metrics:read"])
    assert (await metrics.client.get("/metrics/reconciliation", headers=own)).status_code == 403
    assert (await metrics.client.get("/metrics/reconciliation?count=0", headers=headers)).status_code == 400
