"""The relay: takes rows out of the outbox, publishes them with confirms, and deletes what RabbitMQ has confirmed."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractExchange
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, Status, StatusCode

from quartet_common.config import ServiceConfig
from quartet_common.database import UNAVAILABLE, connect_once, outbox_channel
from quartet_common.large import slices
from quartet_common.messaging.broker import BROKER_ERRORS, Broker, closed_event
from quartet_common.messaging.envelope import CONTENT_TYPE, TYPE_PREFIX
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.topology import EXCHANGE, declare_exchange
from quartet_common.messaging.tracing import context_of, inject
from quartet_common.retry import connect_with_retry
from quartet_common.tasks import end_tasks

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

T = TypeVar("T")
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BATCH = 500
POLL_INTERVAL = 1.0
CONFIRM_TIMEOUT = 30.0
HOLD = 5.0
"""Seconds for which an aggregate rests after RabbitMQ refused one of its events."""

COLUMNS = "id, tenant_id, actor_id, aggregate, type, event_id, traceparent, event"
WAITING = f"SELECT {COLUMNS} FROM outbox WHERE NOT urgent AND aggregate <> ALL($1::text[]) ORDER BY id LIMIT $2"
URGENT = f"SELECT {COLUMNS} FROM outbox WHERE urgent AND aggregate <> ALL($1::text[]) ORDER BY id LIMIT $2"
TOGETHER = 100
"""Events that are on their way to RabbitMQ at once; in between the relay looks for urgent ones."""


@dataclass(frozen=True)
class Row:
    """An outbox row."""

    id: int
    tenant_id: str
    actor_id: str
    aggregate: str
    type: str
    event_id: UUID
    traceparent: str | None
    event: bytes


class Relay:
    """Publishes one service's outbox. Only the holder of the advisory lock publishes; others stand by."""

    def __init__(self, config: ServiceConfig, broker: Broker, stats: OutboxStats) -> None:
        self._config = config
        self._broker = broker
        self._stats = stats
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._held: dict[str, float] = {}
        self.connected = False

    async def run(self) -> None:
        """Publish until `stop()`; whatever connection breaks is opened anew."""
        while not self._stopping.is_set():
            try:
                with suppress_instrumentation():  # the relay's own statements belong to nobody's trace
                    await self._session()
            except (*BROKER_ERRORS, *UNAVAILABLE, asyncpg.PostgresError) as error:
                logger.warning(
                    "the relay lost its connection to a server", extra={"error": f"{type(error).__name__}: {error}"}
                )
                await self._pause(0.2)
            finally:
                self.connected = False

    def stop(self) -> None:
        """Have `run` return once the batch that is under way is confirmed."""
        self._stopping.set()
        self._wake.set()

    async def _session(self) -> None:
        database = await self._until_stopped(
            connect_with_retry(lambda: connect_once(self._config), "postgresql", None, 5)
        )
        if database is None:
            return
        try:
            connection = await self._until_stopped(
                connect_with_retry(lambda: self._broker.connect("relay"), "rabbitmq", None, 5)
            )
            if connection is None:
                return
            async with connection:
                channel = await connection.channel(on_return_raises=True)
                await self._publish_while_open(database, channel, closed_event(connection, channel))
        finally:
            await _close(database)

    async def _publish_while_open(self, database: Session, channel: AbstractChannel, closed: asyncio.Event) -> None:
        exchange = await declare_exchange(channel)
        self.connected = True
        lock = f"quartet-relay-{self._config.service}"
        waiting = database.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", lock)
        if await self._until_stopped(waiting, closed) is None:
            return
        await database.add_listener(outbox_channel(self._config.service), lambda *_: self._wake.set())
        while not self._stopping.is_set() and not closed.is_set():
            self._wake.clear()
            rows = await self._read(database, WAITING)
            done: list[int] = []
            for wave in waves(rows):
                for some in slices(wave, TOGETHER):
                    await self._urgent_first(database, exchange)
                    done += await self._publish(exchange, some)
            await self._urgent_first(database, exchange)
            await self._delete(database, done)
            if len(done) < BATCH:
                await self._pause(POLL_INTERVAL, closed)

    async def _urgent_first(self, database: Session, exchange: AbstractExchange) -> None:
        """Publish what is urgent, in its order, until there is nothing left that RabbitMQ takes."""
        while rows := await self._read(database, URGENT):
            done = [number for wave in waves(rows) for number in await self._publish(exchange, wave)]
            await self._delete(database, done)
            if not done:
                return

    async def _read(self, database: Session, query: str) -> list[Row]:
        now = asyncio.get_running_loop().time()
        self._held = {aggregate: until for aggregate, until in self._held.items() if until > now}
        return [Row(**dict(record)) for record in await database.fetch(query, list(self._held), BATCH)]

    async def _delete(self, database: Session, done: Sequence[int]) -> None:
        if done:
            await database.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", done)
            self._stats.published(len(done))

    async def _publish(self, exchange: AbstractExchange, rows: Sequence[Row]) -> list[int]:
        """Publish `rows`, of each aggregate one, and return the ids of those confirmed. The aggregates of the others
        rest: an event waits for the one before it.
        """
        done: list[int] = []
        going = [row for row in rows if row.aggregate not in self._held]
        results = await asyncio.gather(*(self._publish_one(exchange, row) for row in going))
        for row, confirmed in zip(going, results, strict=True):
            if confirmed:
                done.append(row.id)
            else:
                self._held[row.aggregate] = asyncio.get_running_loop().time() + HOLD
        return done

    async def _publish_one(self, exchange: AbstractExchange, row: Row) -> bool:
        routing_key = row.type.removeprefix(TYPE_PREFIX)
        span = tracer.start_span(
            f"publish {row.type}",
            context=context_of(row.traceparent),
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "rabbitmq",
                "messaging.operation.type": "send",
                "messaging.destination.name": EXCHANGE,
                "messaging.rabbitmq.destination.routing_key": routing_key,
                "messaging.message.id": str(row.event_id),
                "quartet.tenant": row.tenant_id,
            },
        )
        message = Message(
            row.event,
            content_type=CONTENT_TYPE,
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=str(row.event_id),
            type=row.type,
            headers=inject(trace.set_span_in_context(span, otel_context.Context())),
        )
        try:
            await exchange.publish(message, routing_key, mandatory=True, timeout=CONFIRM_TIMEOUT)
        except BROKER_ERRORS as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            logger.warning(
                "an event was not confirmed and stays in the outbox",
                extra={
                    "event_id": str(row.event_id),
                    "type": row.type,
                    "error": f"{type(error).__name__}: {error}"[:300],
                },
            )
            self._stats.failed()
            return False
        finally:
            span.end()
        return True

    async def _pause(self, seconds: float, closed: asyncio.Event | None = None) -> None:
        """Wait for a NOTIFY, the end, a closed connection, or `seconds`."""
        waits = [self._wake.wait()] + ([closed.wait()] if closed is not None else [])
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _until_stopped(self, work: Coroutine[Any, Any, T], closed: asyncio.Event | None = None) -> T | None:
        """The result of `work`, or None if the relay is stopped or `closed` is set before it is there."""
        main = asyncio.ensure_future(work)
        ends = [asyncio.ensure_future(event.wait()) for event in (self._stopping, closed) if event is not None]
        try:
            await asyncio.wait([main, *ends], return_when=asyncio.FIRST_COMPLETED)
            if main.done():
                return main.result()
            await end_tasks([main])
            return None
        finally:
            for task in (main, *ends):
                task.cancel()


def waves(rows: Sequence[Row]) -> list[list[Row]]:
    """`rows` in groups that may be published at once: the n-th group holds the n-th event of each aggregate."""
    groups: list[list[Row]] = []
    seen: dict[str, int] = {}
    for row in rows:
        index = seen.get(row.aggregate, 0)
        seen[row.aggregate] = index + 1
        if index == len(groups):
            groups.append([])
        groups[index].append(row)
    return groups


async def _close(database: Session) -> None:
    try:
        await database.close(timeout=2)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        database.terminate()
