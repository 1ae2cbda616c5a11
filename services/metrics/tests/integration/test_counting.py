"""Counting: events from a real RabbitMQ, whatever goes wrong on the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika

from quartet_common.core.identifiers import SYSTEM_TENANT, new_id
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.data.outbox_notifier import outbox_channel
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import DENIED, Event
from quartet_common.messaging.stats import ConsumerStats
from quartet_metrics.app import SERVICE
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

MakeEvent = Callable[..., Event]
Publish = Callable[[list[Event]], Awaitable[None]]
Consuming = Callable[..., AbstractAsyncContextManager[Any]]
Counts = Callable[..., Awaitable[dict[str, int]]]


class DiesAfterCommit(Database):
    """A database under a process that dies as soon as a transaction has been committed."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as connection:
            yield connection
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)


def now() -> datetime:
    return datetime.now(UTC)


async def test_an_event_published_once_is_counted_once(
    event: MakeEvent, publish: Publish, consuming: Consuming, counts: Counts
) -> None:
    tenant = new_tenant()
    async with consuming() as totals:
        await publish([event(tenant, now()), event(tenant, now(), "groups.group.deleted")])
        await totals.reach(2)
    assert await counts(tenant) == {"groups.group.deleted": 1, "users.user.created": 1}
    assert await counts(tenant, "none") == {"all": 2}


async def test_an_event_published_twice_is_counted_once(
    event: MakeEvent, publish: Publish, consuming: Consuming, counts: Counts
) -> None:
    tenant = new_tenant()
    twice = event(tenant, now())
    async with consuming() as totals:
        await publish([twice, event(tenant, now()), twice])
        await totals.reach(3)
        await publish([twice])
        await totals.reach(4)
    assert totals.results == {"handled": 2, "duplicate": 2}
    assert await counts(tenant) == {"users.user.created": 2}


async def test_a_late_event_counts_in_the_hour_in_which_it_happened(
    event: MakeEvent, publish: Publish, consuming: Consuming, metrics: RunningService
) -> None:
    tenant, then = new_tenant(), datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
    async with consuming() as totals:
        await publish([event(tenant, now()), event(tenant, then)])
        await totals.reach(2)
    response = await metrics.client.get(
        "/metrics/query?metric=events&from=2025-12-31T22:00:00Z&to=2026-01-01T01:00:00Z",
        headers=metrics.tokens.headers(tenant, ["metrics:read"]),
    )
    assert (await response.get_json())["series"] == [
        {
            "key": "all",
            "points": [
                {"time": "2025-12-31T22:00:00Z", "value": 0},
                {"time": "2025-12-31T23:00:00Z", "value": 1},
                {"time": "2026-01-01T00:00:00Z", "value": 0},
            ],
        }
    ]


async def test_consumers_that_race_on_one_queue_count_right(
    event: MakeEvent, publish: Publish, consuming: Consuming, counts: Counts
) -> None:
    tenants = [new_tenant() for _ in range(5)]
    actions = [f"users.thing{number}.happened" for number in range(8)]
    events = [event(tenants[n % 5], now() - timedelta(hours=n % 3), actions[n % 8]) for n in range(1200)]
    await publish([*events, *reversed(events)])
    async with consuming(count=12) as totals:
        await totals.reach(2 * len(events))
    assert totals.results == {"handled": len(events), "duplicate": len(events)}
    for tenant in tenants:
        expected = Counter(item.action for item in events if item.tenantid == tenant)
        assert await counts(tenant) == expected


async def test_a_worker_that_dies_between_commit_and_ack_doubles_nothing(
    event: MakeEvent,
    publish: Publish,
    consuming: Consuming,
    counts: Counts,
    metrics: RunningService,
    queue: aio_pika.abc.AbstractQueue,
) -> None:
    tenant, container = new_tenant(), metrics.container
    await publish([event(tenant, now()) for _ in range(30)])
    database = container.database
    mortal = DiesAfterCommit(database.pool, channel=outbox_channel("metrics"), acquire_timeout=2, watch=database.watch)
    subscriptions, stats = SERVICE.subscriptions(container), ConsumerStats()
    await asyncio.wait(
        [asyncio.ensure_future(Consumer("metrics", container.broker, mortal, subscriptions, stats).run())]
    )
    committed = (await counts(tenant))["users.user.created"]
    assert committed > 0

    async def all_are_back() -> bool:
        return (await queue.declare()).message_count == 30

    await eventually(all_are_back, "the unacknowledged messages are in the queue again")
    async with consuming() as totals:
        await totals.reach(30)
    assert totals.results == {"handled": 30 - committed, "duplicate": committed}
    assert await counts(tenant) == {"users.user.created": 30}


async def test_the_system_tenant_has_numbers_of_its_own(
    event: MakeEvent, publish: Publish, consuming: Consuming, counts: Counts
) -> None:
    tenant, action = new_tenant(), f"users.thing{new_id().hex}.refused"
    async with consuming() as totals:
        await publish([event(SYSTEM_TENANT, now(), action, DENIED), event(tenant, now())])
        await totals.reach(2)
    assert (await counts(SYSTEM_TENANT))[action] == 1
    assert await counts(tenant) == {"users.user.created": 1}


async def test_outcomes_are_counted_apart_and_refusals_are_those_denied(
    event: MakeEvent, publish: Publish, consuming: Consuming, counts: Counts
) -> None:
    tenant = new_tenant()
    async with consuming() as totals:
        await publish([event(tenant, now()), event(tenant, now(), "users.request.refused", DENIED)])
        await totals.reach(2)
    assert await counts(tenant, "outcome") == {"denied": 1, "success": 1}
    assert await counts(tenant, metric="refusals") == {"users.request.refused": 1}


async def test_an_event_that_cannot_be_counted_does_not_hold_up_the_rest(
    event: MakeEvent, publish: Publish, consuming: Consuming, counts: Counts
) -> None:
    tenant = new_tenant()
    uncountable = event(tenant, now(), outcome="\0")  # PostgreSQL stores no NUL
    async with consuming() as totals:
        await publish([event(tenant, now()), uncountable, event(tenant, now())])
        await totals.reach(3)
    assert totals.results == {"handled": 2, "delayed": 1}
    assert await counts(tenant) == {"users.user.created": 2}
