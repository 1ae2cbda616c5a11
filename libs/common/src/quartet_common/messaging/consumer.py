"""The consumer: takes batches off the service's queue and gives each event its effect exactly once."""

import asyncio
import logging
from collections.abc import Sequence

import msgspec
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from quartet_common.database import Database
from quartet_common.errors import UnavailableError
from quartet_common.messaging import inbox
from quartet_common.messaging.broker import BROKER_ERRORS, Broker, closed_event
from quartet_common.messaging.envelope import Event, MalformedEventError, decode
from quartet_common.messaging.stats import ConsumerStats
from quartet_common.messaging.subscriptions import Subscription, dispatch
from quartet_common.messaging.topology import DELAYS, QueueNames, declare_consumer
from quartet_common.messaging.tracing import context_of
from quartet_common.retry import connect_with_retry
from quartet_common.tasks import end_tasks

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

BATCH = 200
ATTEMPT_HEADER = "x-quartet-attempt"
REASON_HEADER = "x-quartet-reason"
CONFIRM_TIMEOUT = 30.0
DATABASE_PAUSE = 0.5


class Delivery(msgspec.Struct, frozen=True):
    """A message and the event in it."""

    message: AbstractIncomingMessage
    event: Event

    @property
    def attempt(self) -> int:
        """How often the event has failed before."""
        value = self.message.headers.get(ATTEMPT_HEADER, 0)
        return value if isinstance(value, int) else 0


class Consumer:
    """Consumes one service's queue. Batches form by themselves: what arrived while one was handled is the next."""

    def __init__(
        self,
        service: str,
        broker: Broker,
        database: Database,
        subscriptions: Sequence[Subscription],
        stats: ConsumerStats,
        *,
        batch: int = BATCH,
        with_inbox: bool = True,
    ) -> None:
        """`batch` events at most are handled at a time. Without the inbox an event may have its effect more than once:
        for handlers that do not mind.
        """
        self._batch = batch
        self._with_inbox = with_inbox
        self._names = QueueNames(service)
        self._service = service
        self._broker = broker
        self._database = database
        self._subscriptions = subscriptions
        self._stats = stats
        self._stopping = asyncio.Event()
        self.connected = False

    async def run(self) -> None:
        """Consume until `stop()`; a broken connection is opened anew and what was not acked comes again."""
        while not self._stopping.is_set():
            try:
                await self._session()
            except BROKER_ERRORS as error:
                logger.warning(
                    "the consumer lost its connection to RabbitMQ", extra={"error": f"{type(error).__name__}: {error}"}
                )
                await _wait_any([self._stopping], 0.2)
            finally:
                self.connected = False

    def stop(self) -> None:
        """Have `run` return once the batch that is under way is done."""
        self._stopping.set()

    async def _session(self) -> None:
        connecting = asyncio.ensure_future(
            connect_with_retry(lambda: self._broker.connect("consumer"), "rabbitmq", None, 5)
        )
        stopped = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([connecting, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not connecting.done():
            await end_tasks([connecting])
        if connecting.cancelled():
            return
        async with connecting.result() as connection:
            channel = await connection.channel(on_return_raises=True)
            await channel.set_qos(prefetch_count=2 * self._batch)
            await self._consume(channel, closed_event(connection, channel))

    async def _consume(self, channel: AbstractChannel, closed: asyncio.Event) -> None:
        queue = await declare_consumer(channel, self._service, [item.pattern for item in self._subscriptions])
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        tag = await queue.consume(arrived.put)
        self.connected = True
        while not self._stopping.is_set() and not closed.is_set():
            batch = await _take(arrived, self._batch, [self._stopping, closed])
            if batch:
                await self._handle(channel, batch, closed)
        if not closed.is_set():
            await queue.cancel(tag)

    async def _handle(
        self, channel: AbstractChannel, batch: Sequence[AbstractIncomingMessage], closed: asyncio.Event
    ) -> None:
        deliveries = []
        for message in batch:
            try:
                deliveries.append(Delivery(message, decode(message.body)))
            except MalformedEventError as error:
                await self._move(channel, message, self._names.dead, 0, str(error))
                self._stats.count("dead")
        while deliveries and not closed.is_set():
            try:
                await self._apply_all(channel, deliveries)
                return
            except UnavailableError:
                # no fault of the messages: they stay in hand, unacked, until PostgreSQL is back
                await _wait_any([self._stopping, closed], DATABASE_PAUSE)
                if self._stopping.is_set():
                    return
                deliveries = [delivery for delivery in deliveries if not delivery.message.processed]

    async def _apply_all(self, channel: AbstractChannel, deliveries: Sequence[Delivery]) -> None:
        try:
            await self._apply(deliveries)
        except Exception as error:
            if isinstance(error, UnavailableError) and not await self._database_answers():
                raise
            if len(deliveries) == 1:
                await self._fail(channel, deliveries[0], error)
                return
            for delivery in deliveries:  # one by one, so that one bad message does not hold up the rest
                await self._apply_all(channel, [delivery])
            return
        await deliveries[-1].message.ack(multiple=True)  # what came before on this channel has been answered already

    async def _database_answers(self) -> bool:
        """Tells a PostgreSQL that is away from one that only cannot digest a message, since its statement times out."""
        try:
            async with self._database.connection() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except UnavailableError:
            return False

    async def _apply(self, deliveries: Sequence[Delivery]) -> None:
        """Inbox and effect of `deliveries` in one transaction."""
        events = [delivery.event for delivery in deliveries]
        spans = [self._start_span(delivery) for delivery in deliveries]
        try:
            with _current(spans, self._service):
                async with self._database.transaction() as connection:
                    fresh = await inbox.add(connection, events) if self._with_inbox else events
                    await dispatch(connection, self._subscriptions, fresh)
        except Exception as error:
            for span in spans:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            for span in spans:
                span.end()
        self._stats.count("handled", len(fresh))
        self._stats.count("duplicate", len(events) - len(fresh))
        for event in fresh:
            self._stats.age(event.time.timestamp())

    def _start_span(self, delivery: Delivery) -> Span:
        header = delivery.message.headers.get("traceparent")
        return tracer.start_span(
            f"process {delivery.event.type}",
            context=context_of(header if isinstance(header, str) else delivery.event.traceparent),
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "rabbitmq",
                "messaging.operation.type": "process",
                "messaging.destination.name": self._names.main,
                "messaging.message.id": str(delivery.event.id),
                "quartet.tenant": delivery.event.tenantid,
            },
        )

    async def _fail(self, channel: AbstractChannel, delivery: Delivery, error: Exception) -> None:
        attempt = delivery.attempt
        reason = f"{type(error).__name__}: {error}"[:1000]
        facts = {"event_id": str(delivery.event.id), "type": delivery.event.type, "attempt": attempt + 1}
        if attempt < len(DELAYS):
            logger.warning("an event failed and will be retried", extra=facts, exc_info=error)
            target, result = self._names.delay(DELAYS[attempt]), "delayed"
        else:
            logger.error("an event failed for the last time and is dead-lettered", extra=facts, exc_info=error)
            target, result = self._names.dead, "dead"
        await self._move(channel, delivery.message, target, attempt + 1, reason)
        self._stats.count(result)

    async def _move(
        self, channel: AbstractChannel, message: AbstractIncomingMessage, queue: str, attempt: int, reason: str
    ) -> None:
        """Put a copy into `queue`, confirmed, and only then ack the original: nothing is lost, a double is harmless."""
        copy = Message(
            message.body,
            content_type=message.content_type,
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=message.message_id,
            type=message.type,
            headers={**message.headers, ATTEMPT_HEADER: attempt, REASON_HEADER: reason},
        )
        await channel.default_exchange.publish(copy, queue, mandatory=True, timeout=CONFIRM_TIMEOUT)
        await message.ack()


class _current:  # noqa: N801  # reads as a statement
    """Makes the span of a lone event the current one; for several, a span of the batch that links to each."""

    def __init__(self, spans: Sequence[Span], service: str) -> None:
        self._own = len(spans) > 1
        self._span = spans[0]
        if self._own:
            links = [Link(span.get_span_context()) for span in spans]
            self._span = tracer.start_span(f"process batch {service}", kind=SpanKind.CONSUMER, links=links)
        self._use = trace.use_span(self._span, end_on_exit=self._own, record_exception=False)

    def __enter__(self) -> None:
        self._use.__enter__()

    def __exit__(self, *error: object) -> None:
        self._use.__exit__(*error)  # type: ignore[arg-type]  # the three values that Python gives


async def _take(
    arrived: "asyncio.Queue[AbstractIncomingMessage]", most: int, ends: Sequence[asyncio.Event]
) -> list[AbstractIncomingMessage]:
    """What has arrived, `most` of it; waits for the first message. Empty when one of `ends` is set before."""
    first = asyncio.ensure_future(arrived.get())
    waits = [asyncio.ensure_future(end.wait()) for end in ends]
    try:
        await asyncio.wait([first, *waits], return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            return []
        batch = [first.result()]
        while len(batch) < most and not arrived.empty():
            batch.append(arrived.get_nowait())
        return batch
    finally:
        for task in (first, *waits):
            task.cancel()


async def _wait_any(events: Sequence[asyncio.Event], timeout: float) -> None:
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
