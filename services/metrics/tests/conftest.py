"""What the tests share: events; the service's app, a way to publish, and consumers on the real queue."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

import aio_pika
import pytest
from aio_pika import DeliveryMode, Message

from quartet_cli.stack import Stack
from quartet_common.core.identifiers import new_id
from quartet_common.data.database import Database
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import CONTENT_TYPE, SUCCESS, Event, encode
from quartet_common.messaging.stats import ConsumerStats
from quartet_common.messaging.topology import EXCHANGE, RETRY_DELAYS, QueueNames
from quartet_metrics.app import SERVICE
from quartet_metrics.config import MetricsConfig
from quartet_testing.conditions import eventually
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, run_service

Publish = Callable[[Sequence[Event]], Awaitable[None]]


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

        await eventually(reached, f"{number} messages are handled")


Consuming = Callable[..., AbstractAsyncContextManager[Totals]]


@pytest.fixture(scope="session")
async def metrics(config_for: ConfigFor[MetricsConfig]) -> AsyncIterator[RunningService]:
    """The service's app in this process, without its worker. It keeps hours longer: tests have fixed times."""
    config = config_for(MetricsConfig).model_copy(update={"hour_days": 36_500})
    async with run_service(SERVICE, config) as running:
        yield running


@pytest.fixture(scope="session")
def engine(servers: Stack) -> Iterator[str]:
    """The real VictoriaMetrics of the test run; its URL."""
    if "victoria-metrics" not in servers.programs:
        pytest.skip("victoria-metrics is not installed")
    servers.start("victoria-metrics")
    yield servers.environment("metrics", "api")["QUARTET_METRICS_ENGINE_URL"]
    servers.stop("victoria-metrics")


@pytest.fixture
async def queue(metrics: RunningService) -> AsyncIterator[aio_pika.abc.AbstractQueue]:
    """The service's queue; it and the delay queues are empty at the start, whatever a test before left behind."""
    async with metrics.container.broker.connection("test") as connection:
        channel = await connection.channel()
        names = QueueNames("metrics")
        for name in (*(names.delay(seconds) for seconds in RETRY_DELAYS), names.main):
            await (await channel.get_queue(name)).purge()
        queue = await channel.get_queue(names.main)
        yield queue


@pytest.fixture
def publish(metrics: RunningService, queue: aio_pika.abc.AbstractQueue) -> Publish:
    """Publishes events as a relay does, confirmed and in order."""

    async def send(events: Sequence[Event]) -> None:
        async with metrics.container.broker.connection("test") as connection:
            exchange = await (await connection.channel()).get_exchange(EXCHANGE)
            for event in events:
                message = Message(encode(event), content_type=CONTENT_TYPE, delivery_mode=DeliveryMode.PERSISTENT)
                await exchange.publish(message, event.routing_key, mandatory=True)

    return send


@pytest.fixture
def consuming(metrics: RunningService, queue: aio_pika.abc.AbstractQueue) -> Consuming:
    """Runs `count` consumers that share the queue, and ends them gracefully."""

    @asynccontextmanager
    async def run(count: int = 1, database: Database | None = None) -> AsyncIterator[Totals]:
        container, totals = metrics.container, Totals()
        subscriptions = SERVICE.subscriptions(container)
        consumers = [
            Consumer("metrics", container.broker, database or container.database, subscriptions, totals)
            for _ in range(count)
        ]
        running = [asyncio.ensure_future(consumer.run()) for consumer in consumers]
        try:
            yield totals
        finally:
            for consumer in consumers:
                consumer.stop()
            await asyncio.wait(running)

    return run


@pytest.fixture
def event() -> Callable[..., Event]:
    """Makes an event that nobody else has."""

    def make(
        tenant: str, time: datetime, action: str = "users.user.created", outcome: str = SUCCESS, version: int = 1
    ) -> Event:
        return Event(
            id=new_id(),
            source=f"/{action.partition('.')[0]}",
            type=f"quartet.{action}.v{version}",
            subject=f"things/{new_id()}",
            time=time,
            tenantid=tenant,
            actorid="tester",
            sequence=1,
            outcome=outcome,
            data={},
        )

    return make


@pytest.fixture
def counts(metrics: RunningService) -> Callable[..., Awaitable[dict[str, int]]]:
    """The totals of a tenant per key, asked for over HTTP."""

    async def ask(tenant: str, by: str = "type", **parameters: str) -> dict[str, int]:
        headers = metrics.tokens.headers(tenant, ["metrics:read"])
        question = {"metric": "events", "by": by, **parameters}
        response = await metrics.client.get("/metrics/query", query_string=question, headers=headers)
        assert response.status_code == 200, await response.get_data()
        answer = await response.get_json()
        totals = {series["key"]: sum(point["value"] for point in series["points"]) for series in answer["series"]}
        assert answer["total"] == sum(totals.values())
        return totals

    return ask
