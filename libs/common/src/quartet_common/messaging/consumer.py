"""The consumer: takes messages from the service's queue and gives each event in them its effect exactly once."""

import asyncio
import logging
import random
from collections.abc import Sequence
from math import isqrt

from aio_pika import Message
from aio_pika.abc import AbstractIncomingMessage
from opentelemetry.trace import Status, StatusCode

from quartet_common.core.errors import ContendedError, UnavailableError
from quartet_common.core.fair_share import CapacityExceededError
from quartet_common.core.offload import slices
from quartet_common.core.retry import Backoff, connect_with_retry
from quartet_common.data.database import Database
from quartet_common.data.database_errors import OF_ONE_STATEMENT
from quartet_common.messaging import inbox
from quartet_common.messaging.broker import BROKER_ERRORS, Broker, as_lost_connection, closed_event, set_when_cancelled
from quartet_common.messaging.deliveries import DELIVERIES_HEADER, Item, copy_of, header_number, is_batch
from quartet_common.messaging.envelope import Event, Malformed, MalformedEventError, decode, decode_batch, elements
from quartet_common.messaging.inbox import TakeNew
from quartet_common.messaging.publisher import Publisher
from quartet_common.messaging.session import Session
from quartet_common.messaging.stats import ConsumerStats
from quartet_common.messaging.subscriptions import Subscription, dispatch, wanted
from quartet_common.messaging.topology import RETRY_DELAYS, QueueNames, declare_consumer
from quartet_common.messaging.tracing import handling, is_sampled, process_span
from quartet_serving.tasks import run_until, wait_any

logger = logging.getLogger(__name__)

BATCH = 300
"""Events of one transaction: messages of up to 200 events are added until there are as many."""
PREFETCH = 4
"""Unacknowledged messages. The relays cannot take turns between tenants for events in them, so they are few; and they
are in memory.
"""
CHECK_INTERVAL = 2.0
"""Seconds without a message after which it checks that the queue exists and has a consumer."""
LAST_WAIT = 0.1
"""Seconds for messages that RabbitMQ sent before it confirmed the cancellation."""
ENDED_WORKERS = 2
"""Deliveries of a message without an answer after which its events are handled one by one, see `_isolate`."""
DATABASE_PAUSE = 0.5
CONTENTION_PAUSE = 0.1
"""Maximum pause in seconds before a transaction that PostgreSQL rolled back in favour of another one is repeated."""


class Consumer:
    """Consumes one service's queue. Messages that arrive while a batch is handled are the next batch."""

    def __init__(
        self,
        service: str,
        broker: Broker,
        database: Database,
        subscriptions: Sequence[Subscription],
        stats: ConsumerStats,
        *,
        batch: int = BATCH,
        take_new: TakeNew = inbox.add,
    ) -> None:
        """`batch` limits the events of one transaction. `take_new` is the inbox, or what a service has in its place."""
        self._batch = batch
        self._take_new = take_new
        self._names = QueueNames(service)
        self._service = service
        self._broker = broker
        self._database = database
        self._subscriptions = subscriptions
        self._stats = stats
        self._stopping = asyncio.Event()
        self._paused, self._resumed = asyncio.Event(), asyncio.Event()
        self._publisher: Publisher | None = None
        self._backoff = Backoff()
        self.connected = False
        self.failures = 0
        """The number of failures of RabbitMQ, such as lost connections."""

    @property
    def name(self) -> str:
        """The name of its queues."""
        return self._service

    @property
    def is_paused(self) -> bool:
        """Whether it takes nothing until `resume()`."""
        return self._paused.is_set()

    @property
    def is_blocked(self) -> bool:
        """Whether an alarm of RabbitMQ blocks publishing: then failing events wait, with their batch."""
        return self._publisher is not None and self._publisher.is_blocked

    async def run(self) -> None:
        """Consume until `stop()`; after a lost connection reconnect and handle unacknowledged messages again."""
        while not self._stopping.is_set():
            if self.is_paused:
                await run_until(self._resumed.wait(), [self._stopping])
                continue
            try:
                with as_lost_connection():
                    await self._session()
            except BROKER_ERRORS as error:
                facts = {"queue": self._names.main, "error": f"{type(error).__name__}: {error}"}
                logger.warning("the consumer lost RabbitMQ or its queue", extra=facts)
                self.failures += 1
                await wait_any([self._stopping], self._backoff.next())
            finally:
                self.connected = False

    def stop(self) -> None:
        """Make `run` return after the current batch."""
        self._stopping.set()

    def pause(self) -> None:
        """Take nothing more after the current batch, until `resume()`. Messages stay in the queue."""
        self._resumed.clear()
        self._paused.set()

    def resume(self) -> None:
        """Take messages again."""
        self._paused.clear()
        self._resumed.set()

    async def _session(self) -> None:
        connecting = connect_with_retry(lambda: self._broker.connect("consumer"), "rabbitmq", None, 5)
        connection = await run_until(connecting, [self._stopping])
        if connection is None:
            return
        async with connection:
            channel = await connection.channel(on_return_raises=True)
            closed = closed_event(connection, channel)
            await set_when_cancelled(channel, closed)
            queue = await declare_consumer(channel, self._service, [item.pattern for item in self._subscriptions])
            self._publisher = Publisher(connection, channel.default_exchange)
            session = Session(channel, await connection.channel(), queue, closed)
            await self._until_writable(closed)
            # the first message is taken alone: if workers have ended while they handled it, no other one is
            # unacknowledged
            await self._consume(session, prefetch=1)
            await self._consume(session, prefetch=PREFETCH)
            await self._finish(session)

    async def _until_writable(self, closed: asyncio.Event) -> None:
        """Wait until PostgreSQL takes writes. RabbitMQ redelivers messages that are unacknowledged for half an hour;
        after a few deliveries they would count as messages that end workers.
        """
        while not self._stopping.is_set() and not closed.is_set():
            try:
                await self._database.watch.check_writable()
            except UnavailableError:
                await wait_any([self._stopping, closed], DATABASE_PAUSE)
            else:
                return

    async def _consume(self, session: Session, *, prefetch: int) -> None:
        """Handle messages until the end; with a `prefetch` of 1 until the first one with a first delivery."""
        if self._has_ended(session):
            return
        await session.channel.set_qos(prefetch_count=prefetch)
        await session.consume()
        self.connected = True
        while not self._has_ended(session):
            messages = await session.take(self._batch, [session.closed, self._stopping, self._paused], CHECK_INTERVAL)
            if messages:
                is_last = prefetch == 1 and not header_number(messages[0], DELIVERIES_HEADER)
                await self._handle(session, messages, is_last=is_last)
                if is_last:
                    break
            elif not self._has_ended(session):
                await session.check()
        await session.cancel()

    async def _finish(self, session: Session) -> None:
        """Handle the messages that have arrived when the consumer is stopped. Requeued ones would have a higher
        delivery count.
        """
        while messages := await session.take(self._batch, [session.closed], LAST_WAIT):
            await self._handle(session, messages, is_last=True)

    def _has_ended(self, session: Session) -> bool:
        return self._stopping.is_set() or self.is_paused or session.closed.is_set()

    async def _handle(self, session: Session, messages: Sequence[AbstractIncomingMessage], *, is_last: bool) -> None:
        """Give the events of `messages` their effect, and acknowledge them together when each is settled. If the end
        comes before, the session ends too: an acknowledgement of later messages would include them.

        After the last messages RabbitMQ must deliver no more. The consumer is cancelled before it acknowledges them:
        messages that RabbitMQ sends to a cancelled consumer go back into the queue with a higher delivery count.
        """
        suspects = [one for one in messages if header_number(one, DELIVERIES_HEADER) >= ENDED_WORKERS]
        for message in suspects:
            await self._isolate(message)
        others = [one for one in messages if one not in suspects]
        items = [item for message in others for item in await self._open(message)]
        is_settled = await self._settle(items, session.closed)
        if is_last or self._stopping.is_set() or self.is_paused:
            await session.cancel()
        if not is_settled:
            session.closed.set()
        elif others and not session.closed.is_set():
            await others[-1].ack(multiple=True)  # earlier messages of this channel are acknowledged already

    async def _open(self, message: AbstractIncomingMessage) -> list[Item]:
        """The events in `message` with a subscription; unreadable ones are dead-lettered."""
        try:
            found = decode_batch(message.body) if is_batch(message) else [decode(message.body)]
        except MalformedEventError as error:
            await self._dead_letter(message, str(error))
            return []
        items = []
        for number, one in enumerate(found):
            if isinstance(one, Malformed):
                await self._dead_letter(message, one.reason, one.body)
            elif wanted(self._subscriptions, one):
                items.append(Item(message, number, one))
        self._stats.count("passed over", sum(isinstance(one, Event) for one in found) - len(items))
        return items

    async def _isolate(self, message: AbstractIncomingMessage) -> None:
        """Split a message that was unacknowledged when workers ended (a crash, no memory): each event goes back into
        the queue as its own message. A single event counts as failed, as if its handler had raised an error.

        The message is acknowledged at once, so that a later failure cannot split it again.
        """
        facts = {"queue": self._names.main, "message_id": message.message_id}
        logger.error("workers ended while they handled a message; its events are handled alone", extra=facts)
        try:
            bodies = elements(message.body) if is_batch(message) else [message.body]
            alone = decode(bodies[0]) if len(bodies) == 1 else None
        except MalformedEventError as error:
            await self._dead_letter(message, str(error))
        else:
            if alone is not None:
                await self._fail(Item(message, 0, alone), WorkerEndedError())
            else:
                for body in bodies:
                    await self._put(copy_of(message, body), self._names.main)
        await message.ack()

    async def _settle(self, items: Sequence[Item], closed: asyncio.Event) -> bool:
        """Give each of `items` its effect, or have it retried or dead-lettered alone; False if the end came before.

        A group that fails is rolled back and split, in order: 400 events in groups of 20, those in single events.
        """
        groups = [items] if items else []
        while groups and not closed.is_set():
            group = groups.pop()
            try:
                await self._apply(group)
            except Exception as error:
                is_server = isinstance(error, UnavailableError) and await self._is_server_failure(error)
                if closed.is_set():
                    return False  # all of them are delivered again, so none has failed
                if is_server:
                    # the events are not at fault: they stay unacknowledged until PostgreSQL is available
                    groups.append(group)
                    await wait_any([self._stopping, closed], DATABASE_PAUSE)
                    if self._stopping.is_set():
                        return False
                elif isinstance(error, ContendedError):
                    if self._stopping.is_set():
                        return False  # the contention may last
                    groups.append(group)
                    await asyncio.sleep(random.uniform(0, CONTENTION_PAUSE))  # noqa: S311  # nosec B311  # no secret
                elif len(group) == 1:
                    await self._fail(group[0], error)
                else:
                    groups += reversed(list(slices(group, isqrt(len(group)))))
        return not groups

    async def _is_server_failure(self, error: UnavailableError) -> bool:
        """Whether PostgreSQL is at fault, and not an event whose statement takes too long or too much memory."""
        is_certain = error.server == "postgresql" and not isinstance(error.__cause__, OF_ONE_STATEMENT)
        if is_certain or isinstance(error, CapacityExceededError):
            return True
        try:
            await self._database.watch.check_writable()
        except UnavailableError:
            return True
        return False

    async def _apply(self, items: Sequence[Item]) -> None:
        """Inbox and effect of `items` in one transaction."""
        events = [item.event for item in items]
        recorded = items if len(items) == 1 else [item for item in items if is_sampled(item.event.traceparent)]
        spans = [process_span(item.event, item.message, self._names.main) for item in recorded]
        try:
            with handling(spans, len(items), self._service):
                async with self._database.transaction() as connection:
                    fresh = await self._take_new(connection, events)
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
        if fresh:
            self._stats.age(min(event.time for event in fresh).timestamp())

    async def _fail(self, item: Item, error: Exception) -> None:
        """Retry one event after a delay, or dead-letter it after the last attempt; the other events of its message go
        on.
        """
        attempt = item.attempt
        reason = f"{type(error).__name__}: {error}"[:1000]
        facts = {"event_id": str(item.event.id), "type": item.event.type, "attempt": attempt + 1}
        if attempt < len(RETRY_DELAYS):
            logger.warning("an event failed and will be retried", extra=facts, exc_info=error)
            target, result = self._names.delay(RETRY_DELAYS[attempt]), "delayed"
        else:
            logger.error("an event failed for the last time and is dead-lettered", extra=facts, exc_info=error)
            target, result = self._names.dead, "dead"
        await self._put(copy_of(item.message, item.body, attempt + 1, reason), target)
        self._stats.count(result)

    async def _dead_letter(self, message: AbstractIncomingMessage, reason: str, body: bytes | None = None) -> None:
        """Dead-letter an unreadable message, or the element `body` of its batch."""
        await self._put(copy_of(message, body, reason=reason), self._names.dead)
        self._stats.count("dead")

    async def _put(self, message: Message, queue: str) -> None:
        """Publish a copy to `queue` and wait for the confirm. The original is acknowledged later, so that nothing is
        lost.
        """
        if self._publisher is None:
            raise RuntimeError("the consumer is not connected")
        await self._publisher.publish(message, queue)


class WorkerEndedError(Exception):
    """An event was unacknowledged each time when several workers ended."""

    def __str__(self) -> str:
        return f"the worker ended {ENDED_WORKERS} times while it handled this event"
