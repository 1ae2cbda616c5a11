"""The relay: publishes the rows of the outbox in batches with confirms, and moves confirmed ones to the journal."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import asyncpg
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import DeliveryError, PublishError
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import Status, StatusCode

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.retry import Backoff, connect_with_retry
from quartet_common.data.connections import SingleConnection, connect_once
from quartet_common.data.database_errors import UNAVAILABLE
from quartet_common.data.outbox_notifier import outbox_channel
from quartet_common.messaging.backlog import Backlog
from quartet_common.messaging.batches import OutboxRow, batches, message_of, publish_span
from quartet_common.messaging.broker import BROKER_ERRORS, Broker, as_lost_connection, closed_event
from quartet_common.messaging.outbox_reader import SMALL_ROUND, OutboxReader
from quartet_common.messaging.publisher import Publisher
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.subscriptions import matcher
from quartet_common.messaging.topology import declare_all, declare_exchange
from quartet_serving.tasks import run_until, wait_any

logger = logging.getLogger(__name__)

POLL_INTERVAL = 1.0
BUSY_CHECK_INTERVAL, IDLE_CHECK_INTERVAL = 0.05, 2.0
"""Seconds between two checks of the queues."""
BACKLOG_PAUSE = 0.1
LOCK_TIMEOUT = 30
"""Seconds after which PostgreSQL says that another relay still has the lock, so that a dead PostgreSQL is noticed."""

MOVE = """
WITH published AS (
    DELETE FROM outbox WHERE id = ANY($1::bigint[]) AND event_id = ANY($2::uuid[])
    RETURNING id, tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent
)
INSERT INTO published_events (id, tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent)
SELECT * FROM published WHERE $3 AND tenant_id NOT IN (SELECT tenant_id FROM deleted_tenants)
ON CONFLICT DO NOTHING"""


class Relay:
    """Publishes one service's outbox. Only the holder of the advisory lock publishes; other relays stand by."""

    def __init__(self, config: ServiceConfig, broker: Broker, stats: OutboxStats) -> None:
        self._config = config
        self._broker = broker
        self._stats = stats
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._confirmed: list[OutboxRow] = []
        self._is_taken = matcher(pattern for patterns in config.consumers.values() for pattern in patterns)
        self._reader = OutboxReader(self._is_taken)
        self._publisher: Publisher | None = None
        self._backlog: Backlog | None = None
        self._backoff = Backoff()
        self.connected = False
        self.failures = 0
        """The number of lost connections and of messages that RabbitMQ refused."""

    @property
    def is_blocked(self) -> bool:
        """Whether RabbitMQ takes no messages because of an alarm (memory, disk)."""
        return self._publisher is not None and self._publisher.is_blocked

    async def run(self) -> None:
        """Publish until `stop()`; reconnect after lost connections."""
        while not self._stopping.is_set():
            try:
                # without traces: the relay's own statements belong to no request
                with suppress_instrumentation(), as_lost_connection():
                    await self._session()
            except (*BROKER_ERRORS, *UNAVAILABLE, asyncpg.PostgresError) as error:
                logger.warning(
                    "the relay lost its connection to a server", extra={"error": f"{type(error).__name__}: {error}"}
                )
                self.failures += 1
                await wait_any([self._stopping], self._backoff.next())
            finally:
                self.connected = False

    def stop(self) -> None:
        """Make `run` return once the current message is confirmed and its rows are moved."""
        self._stopping.set()
        self._wake.set()

    async def _session(self) -> None:
        database = await run_until(connect_with_retry(self._connect, "postgresql", None, 5), [self._stopping])
        if database is None:
            return
        try:
            connecting = connect_with_retry(lambda: self._broker.connect("relay"), "rabbitmq", None, 5)
            connection = await run_until(connecting, [self._stopping])
            if connection is None:
                return
            async with connection:
                channel = await connection.channel(on_return_raises=True)
                self._backlog = backlog = Backlog(connection, self._config.consumers)
                self._publisher = Publisher(connection, await declare_exchange(channel))
                await self._publish_while_open(database, channel, backlog, closed_event(connection, channel))
        finally:
            await _close(database)

    async def _connect(self) -> SingleConnection:
        database = await connect_once(self._config, self._config.database_timeout)
        try:
            # else a plan for an almost empty outbox reads all of a large one
            await database.execute("SET enable_seqscan = off")
            await database.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}s'")
            await self._move(database)
        except BaseException:
            database.terminate()
            raise
        return database

    async def _publish_while_open(
        self, database: SingleConnection, channel: AbstractChannel, backlog: Backlog, closed: asyncio.Event
    ) -> None:
        await declare_all(channel, self._config.consumers)
        self.connected = True
        if await run_until(self._take_lock(database), [self._stopping, closed]) is None:
            return
        await declare_all(channel, self._config.consumers)  # once more: it may have stood by for an hour
        await database.add_listener(outbox_channel(self._config.service), lambda *_: self._wake.set())
        is_behind = False
        while not self._stopping.is_set() and not closed.is_set():
            self._wake.clear()
            await self._move(database)
            rows = await self._reader.waiting(database, SMALL_ROUND if is_behind else None)
            count = await self._publish_all(database, rows)
            # also while there is little to do: a deleted queue is declared again
            is_busy = self._reader.is_busy
            is_behind = await backlog.is_large(BUSY_CHECK_INTERVAL if is_busy else IDLE_CHECK_INTERVAL) and is_busy
            if is_behind:
                await wait_any(
                    [self._stopping, closed], BACKLOG_PAUSE
                )  # not for `_wake`: each commit would end the pause
            elif not is_busy or not (count or self._reader.has_more_tenants):
                await wait_any([self._wake, closed], POLL_INTERVAL)

    async def _take_lock(self, database: SingleConnection) -> bool:
        """Wait until no other relay publishes. Raises TimeoutError if PostgreSQL does not answer."""
        lock, timeout = f"quartet-relay-{self._config.service}", LOCK_TIMEOUT + self._config.database_timeout
        while True:
            with suppress(asyncpg.LockNotAvailableError):
                await database.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", lock, timeout=timeout)
                return True

    async def _publish_all(self, database: SingleConnection, rows: Sequence[OutboxRow]) -> int:
        """Publish `rows` one message after the other, urgent events before each; return how many were confirmed."""
        count = 0
        try:
            for batch in batches(rows, self._is_taken):
                await self._urgent_first(database)
                if self._stopping.is_set():
                    break
                count += await self._publish(batch)
            if not rows:
                await self._urgent_first(database)
        finally:
            if self._confirmed:
                await self._move(database)
        return count

    async def _urgent_first(self, database: SingleConnection) -> None:
        """Publish urgent rows in their order until none is left that RabbitMQ accepts."""
        while rows := await self._reader.urgent(database):
            count = 0
            for batch in batches(rows, self._is_taken):
                count += await self._publish(batch)
                if self._stopping.is_set():
                    return
            await self._move(database)
            if not count:
                return

    async def _move(self, database: SingleConnection) -> None:
        """Move confirmed rows to the journal. Rows that could not be moved are kept for the next call, so that they are
        not published again. Event ids count too: another primary may have given a row's id to another event.

        Raises the driver's error unless PostgreSQL takes writes, also without rows to move: published rows could not be
        moved then, and another server may be the primary and have the events.
        """
        rows = list(self._confirmed)
        ids, events = [row.id for row in rows], [row.event_id for row in rows]
        await database.execute(MOVE, ids, events, self._config.journal_hours > 0)
        self._confirmed.clear()
        self._stats.published(len(rows))

    async def _publish(self, rows: Sequence[OutboxRow]) -> int:
        """Publish `rows` in one message and return how many were confirmed. If it is refused, publish each alone. The
        aggregates of refused rows are held: later events wait for them.

        Raises one of BROKER_ERRORS if RabbitMQ does not answer, which says nothing about the events.
        """
        going = [row for row in rows if not self._reader.is_held(row)]
        if not going or await self._publish_message(going):
            return len(going)
        count = 0
        for row in going:
            if self._reader.is_held(row):
                continue
            if len(going) > 1 and await self._publish_message([row]):
                count += 1
            else:
                self._reader.hold(row)
        return count

    async def _publish_message(self, rows: Sequence[OutboxRow]) -> bool:
        """Whether RabbitMQ accepts `rows` as one message. Raises one of BROKER_ERRORS if it does not answer."""
        if self._publisher is None or self._backlog is None:
            raise RuntimeError("the relay is not connected")
        keys = list(dict.fromkeys(row.routing_key for row in rows))
        span = publish_span(rows, keys[0])
        try:
            await self._publisher.publish(message_of(rows, keys, span), keys[0])
        except DeliveryError as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            facts = {"events": len(rows), "event_id": str(rows[0].event_id), "type": rows[0].type}
            reason = f"{type(error).__name__}: {error}"[:300]
            logger.warning("events were not confirmed and stay in the outbox", extra={**facts, "error": reason})
            self._stats.failed()
            self.failures += not isinstance(
                error, PublishError
            )  # an event without a queue says nothing about the queues
            return False
        finally:
            span.end()
        self._confirmed += rows
        self._reader.confirmed(rows)
        self._backlog.published(keys)
        return True


async def _close(database: SingleConnection) -> None:
    try:
        await database.close(timeout=2)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        database.terminate()
