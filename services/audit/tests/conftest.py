"""What the tests of the audit service share: events, the service on real servers, an exchange, a consumer to run."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aio_pika import DeliveryMode, Message

from quartet_audit.app import SERVICE
from quartet_audit.checkpoints.grown_logs import GrownLogs
from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_usecases import record_events, take_new
from quartet_audit.subscriptions import subscriptions
from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import new_id
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.deliveries import ATTEMPT_HEADER
from quartet_common.messaging.envelope import CONTENT_TYPE, Event, encode
from quartet_common.messaging.stats import ConsumerStats
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.messaging.topology import RETRY_DELAYS, QueueNames, declare_exchange
from quartet_common.runtime.container import AppContainer
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, run_service

MakeEvent = Callable[..., Event]
Query = Mapping[str, object]

MOMENT = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
READ = ["audit:read"]


@pytest.fixture(scope="session")
def make_event() -> MakeEvent:
    """Makes an event; every part of it can be given by name."""

    def make(action: str = "users.user.created", tenant: str = "default", **parts: Any) -> Event:
        usual = {
            "id": new_id(),
            "source": "/users",
            "type": f"quartet.{action}.v1",
            "subject": "users/1",
            "time": MOMENT,
            "tenantid": tenant,
            "actorid": "tester",
            "sequence": 1,
            "data": {},
        }
        return Event(**{**usual, **parts})

    return make


class Audit:
    """The running service with what tests ask of it."""

    def __init__(self, service: RunningService, owner: AppContainer[AuditConfig]) -> None:
        self.service = service
        self.owner = owner
        """The owner of the tables, who may do what the service may not."""
        self.container = service.container
        self.client = service.client
        self.tokens = service.tokens

    async def ask(self, tenant: str, path: str = "/audit/events", query: Query | None = None) -> tuple[int, Any]:
        """Status and JSON of a question asked by somebody of `tenant`."""
        headers = self.tokens.headers(tenant, READ)
        response = await self.client.get(path, headers=headers, query_string=dict(query or {}))
        return response.status_code, await response.get_json(force=True)

    async def ask_as_operator(self, path: str) -> tuple[int, Any]:
        """Status and JSON of an operator's question."""
        response = await self.client.get(path, headers=self.tokens.headers("default", ["events:manage"]))
        return response.status_code, await response.get_json(force=True)

    async def page(self, tenant: str, **query: object) -> dict[str, Any]:
        """The answer to a question that must be right."""
        status, answer = await self.ask(tenant, query=query)
        assert status == 200, answer
        return dict(answer)

    async def find(self, tenant: str, **query: object) -> list[dict[str, Any]]:
        """All entries that answer a question, over all pages."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.page(tenant, **query, cursor=cursor)
            found += page["events"]
            if page["next"] is None:
                return found
            cursor = page["next"]

    async def ids(self, tenant: str) -> list[str]:
        """The ids of a tenant's entries in the order of its log."""
        async with self.container.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, sequence FROM entries WHERE tenant_id = $1 ORDER BY sequence", tenant
            )
        assert [row["sequence"] for row in rows] == list(range(len(rows)))
        return [str(row["id"]) for row in rows]

    async def record(self, events: Sequence[Event]) -> None:
        """Have `events` recorded without a queue."""
        async with self.container.database.transaction() as connection:
            self.container.shared(GrownLogs).add({event.tenantid for event in events})
            await record_events(connection, events, utc_now())

    async def deliver(self, tenant: str) -> None:
        """Have the events of `tenant` that wait in the outbox recorded."""
        await self.record(await self.service.outbox(tenant))

    async def publish(self, *messages: Event | bytes, message_id: str | None = None) -> None:
        """Send events, or bodies that are none, to the exchange."""
        async with self.container.broker.connection("test") as connection:
            channel = await connection.channel(on_return_raises=True)
            exchange = await declare_exchange(channel)
            for item in messages:
                body = item if isinstance(item, bytes) else encode(item)
                key = "test.broken.v1" if isinstance(item, bytes) else item.routing_key
                message = Message(
                    body,
                    content_type=CONTENT_TYPE,
                    delivery_mode=DeliveryMode.PERSISTENT,
                    message_id=message_id if isinstance(item, bytes) else str(item.id),
                )
                await exchange.publish(message, key, mandatory=True)

    async def publish_failed(self, *events: Event) -> None:
        """Send events that have failed so often already that the next failure is the last."""
        async with self.container.broker.connection("test") as connection:
            channel = await connection.channel(on_return_raises=True)
            for event in events:
                message = Message(
                    encode(event),
                    delivery_mode=DeliveryMode.PERSISTENT,
                    message_id=str(event.id),
                    type=event.type,
                    headers={ATTEMPT_HEADER: len(RETRY_DELAYS)},
                )
                await channel.default_exchange.publish(message, QueueNames("audit").main, mandatory=True)

    @asynccontextmanager
    async def consuming(self, others: Sequence[Subscription] | None = None) -> AsyncIterator[Consumer]:
        """A consumer of the audit queue that runs meanwhile."""
        container = self.container
        wanted = subscriptions(container) if others is None else others
        servers = container.broker, container.database
        consumer = Consumer("audit", *servers, wanted, ConsumerStats(), take_new=take_new)
        running = asyncio.ensure_future(consumer.run())
        try:
            yield consumer
        finally:
            consumer.stop()
            await asyncio.wait_for(running, 20)


@pytest.fixture(scope="session")
async def audit(config_for: ConfigFor[AuditConfig]) -> AsyncIterator[Audit]:
    """The audit service, without its worker."""
    owner = AppContainer(config_for(AuditConfig, "migrate"))
    async with run_service(SERVICE, config_for(AuditConfig), owner.config) as service:
        await owner.open()
        try:
            yield Audit(service, owner)
        finally:
            await owner.close()
