"""The relay: takes rows out of the outbox, publishes them in batches with confirms, and moves what RabbitMQ has
confirmed to the journal."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

import asyncpg
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import DeliveryError
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import Status, StatusCode

from quartet_common.config import ServiceConfig
from quartet_common.connecting import connect_once
from quartet_common.database_errors import UNAVAILABLE
from quartet_common.messaging.backlog import Backlog
from quartet_common.messaging.batches import BATCH, Row, batches, message_of, publish_span
from quartet_common.messaging.broker import BROKER_ERRORS, Broker, closed_event
from quartet_common.messaging.publisher import Publisher
from quartet_common.messaging.stats import OutboxStats
from quartet_common.messaging.subscriptions import matcher
from quartet_common.messaging.topology import declare_all, declare_exchange
from quartet_common.outbox_waker import outbox_channel
from quartet_common.retry import connect_with_retry
from quartet_common.tasks import end_tasks

logger = logging.getLogger(__name__)

T = TypeVar("T")
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ROUND = 1000
"""Events that one look into the outbox takes, divided among the tenants that have some."""
SMALL_ROUND = 10
"""Events of each tenant in one look while consumers lag behind: what else waits stays where it can be divided."""
MAX_TENANTS = 200
"""Tenants of one look; the next one begins with those that follow."""
POLL_INTERVAL = 1.0
BUSY_LOOK, IDLE_LOOK = 0.05, 2.0
"""Seconds after which the queues are looked at again."""
BACKLOG_PAUSE = 0.1
LOCK_TIMEOUT = 3600.0
HOLD = 5.0
"""Seconds for which an aggregate rests after RabbitMQ refused one of its events."""

COLUMNS = "id, tenant_id, actor_id, aggregate, type, event_id, traceparent, event"
WAITING = f"""
WITH RECURSIVE tenants AS (
    (SELECT tenant_id, 1 AS number FROM outbox WHERE NOT urgent AND tenant_id > $3 ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT o.tenant_id FROM outbox o WHERE NOT o.urgent AND o.tenant_id > t.tenant_id
            ORDER BY o.tenant_id LIMIT 1), number + 1
    FROM tenants t WHERE t.tenant_id IS NOT NULL AND number < {MAX_TENANTS}
)
SELECT o.* FROM tenants t CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM outbox WHERE NOT urgent AND tenant_id = t.tenant_id AND aggregate <> ALL($1::text[])
    ORDER BY id
    LIMIT coalesce($2::int, (SELECT greatest({SMALL_ROUND}, {ROUND} / greatest(1, count(tenant_id))) FROM tenants))
) o"""
"""The oldest rows of each tenant, from the tenant after $3 on: a loose scan of the index (tenant_id, id)."""
URGENT = f"SELECT {COLUMNS} FROM outbox WHERE urgent AND aggregate <> ALL($1::text[]) ORDER BY id LIMIT $2"
MOVE = """
WITH published AS (
    DELETE FROM outbox WHERE id = ANY($1::bigint[])
    RETURNING id, tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent
)
INSERT INTO published_events (id, tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent)
SELECT * FROM published WHERE $2 AND tenant_id NOT IN (SELECT tenant_id FROM deleted_tenants)
ON CONFLICT DO NOTHING"""


class Relay:
    """Publishes one service's outbox. Only the holder of the advisory lock publishes; others stand by."""

    def __init__(self, config: ServiceConfig, broker: Broker, stats: OutboxStats) -> None:
        self._config = config
        self._broker = broker
        self._stats = stats
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._held: dict[str, float] = {}
        self._last_tenant = ""
        self._is_busy = False
        self._is_taken = matcher(pattern for patterns in config.consumers.values() for pattern in patterns)
        self._publisher: Publisher | None = None
        self.connected = False

    @property
    def is_blocked(self) -> bool:
        """Whether RabbitMQ takes no messages because of an alarm (memory, disk)."""
        return self._publisher is not None and self._publisher.is_blocked

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
        database = await self._until_stopped(connect_with_retry(self._connect, "postgresql", None, 5))
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
                backlog = Backlog(connection, self._config.consumers)
                self._publisher = Publisher(connection, await declare_exchange(channel))
                await self._publish_while_open(database, channel, backlog, closed_event(connection, channel))
        finally:
            await _close(database)

    async def _connect(self) -> Session:
        database = await connect_once(self._config, self._config.database_timeout)
        try:
            await _check_primary(database)
        except BaseException:
            database.terminate()
            raise
        return database

    async def _publish_while_open(
        self, database: Session, channel: AbstractChannel, backlog: Backlog, closed: asyncio.Event
    ) -> None:
        await declare_all(channel, self._config.consumers)
        self.connected = True
        lock = f"quartet-relay-{self._config.service}"
        waiting = database.execute("SELECT pg_advisory_lock(hashtextextended($1, 0))", lock, timeout=LOCK_TIMEOUT)
        if await self._until_stopped(waiting, closed) is None:
            return
        await database.add_listener(outbox_channel(self._config.service), lambda *_: self._wake.set())
        is_behind = False
        while not self._stopping.is_set() and not closed.is_set():
            self._wake.clear()
            await _check_primary(database)
            rows = await self._read_waiting(database, SMALL_ROUND if is_behind else None)
            done = await self._publish_all(database, rows)
            # also looked at while there is little to do: a queue that was deleted is declared again
            is_large = await backlog.is_large(BUSY_LOOK if self._is_busy else IDLE_LOOK)
            is_behind = is_large and self._is_busy
            if is_behind:
                await self._pause(BACKLOG_PAUSE, closed)
            elif not done or not self._is_busy:
                await self._pause(POLL_INTERVAL, closed)

    async def _publish_all(self, database: Session, rows: Sequence[Row]) -> int:
        """Publish `rows` one message after the other, urgent events before each; returns how many were confirmed."""
        done: list[int] = []
        try:
            for batch in batches(rows, self._is_taken):
                await self._urgent_first(database)
                done += await self._publish(batch)
            if not rows:
                await self._urgent_first(database)
        finally:
            await self._move(database, done)
        return len(done)

    async def _urgent_first(self, database: Session) -> None:
        """Publish what is urgent, in its order, until there is nothing left that RabbitMQ takes."""
        while records := await database.fetch(URGENT, self._resting(), ROUND):
            rows = [Row(**dict(record)) for record in records]
            done = [number for batch in batches(rows, self._is_taken) for number in await self._publish(batch)]
            await self._move(database, done)
            if not done:
                return

    async def _read_waiting(self, database: Session, each: int | None) -> list[Row]:
        """Rows of the tenants in turn, `each` of each tenant; by default ROUND divided by the tenants that wait.

        Those of tenants with few come first.
        """
        records = await database.fetch(WAITING, self._resting(), each, self._last_tenant)
        if not records and self._last_tenant:  # that was the last one that had any: begin with the first again
            records = await database.fetch(WAITING, self._resting(), each, "")
        by_tenant: dict[str, list[Row]] = {}
        for record in records:
            by_tenant.setdefault(record["tenant_id"], []).append(Row(**dict(record)))
        names = list(by_tenant)
        limit = each or max(SMALL_ROUND, ROUND // max(1, len(names)))
        is_cut = any(len(rows) >= limit for rows in by_tenant.values()) or len(names) == MAX_TENANTS
        self._is_busy = is_cut or len(records) >= BATCH
        self._last_tenant = names[-1] if len(names) == MAX_TENANTS else ""
        return [row for rows in sorted(by_tenant.values(), key=len) for row in rows]

    def _resting(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        self._held = {aggregate: until for aggregate, until in self._held.items() if until > now}
        return list(self._held)

    async def _move(self, database: Session, done: Sequence[int]) -> None:
        if done:
            await database.execute(MOVE, done, self._config.journal_hours > 0)
            self._stats.published(len(done))

    async def _publish(self, rows: Sequence[Row]) -> list[int]:
        """Publish `rows` in one message and return the ids of those confirmed. If it is refused, publish each alone.
        The aggregates of those that are refused rest: an event waits for the one before it.

        Raises one of BROKER_ERRORS where RabbitMQ does not answer, which says nothing of the events.
        """
        going = [row for row in rows if row.aggregate not in self._held]
        if not going or await self._publish_message(going):
            return [row.id for row in going]
        done: list[int] = []
        for row in going:
            if row.aggregate in self._held:
                continue
            if len(going) > 1 and await self._publish_message([row]):
                done.append(row.id)
            else:
                self._held[row.aggregate] = asyncio.get_running_loop().time() + HOLD
        return done

    async def _publish_message(self, rows: Sequence[Row]) -> bool:
        """Whether RabbitMQ takes `rows` as one message. Raises one of BROKER_ERRORS where it does not answer."""
        if self._publisher is None:
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


async def _check_primary(database: Session) -> None:
    """Raises the driver's error unless PostgreSQL takes writes: what is published could not be moved, and if another
    server is the primary now, the events are there.
    """
    await database.execute(MOVE, [], False)


async def _close(database: Session) -> None:
    try:
        await database.close(timeout=2)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        database.terminate()
