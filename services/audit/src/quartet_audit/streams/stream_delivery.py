"""Delivers entries to the destinations of streams: each stream in its own task, with a lease that no other worker has.

worker, each quarter of a second:
    streams that are due and have entries to deliver -> a lease for each, the tenants in turns
each leased stream, up to some seconds, then it waits for its next turn:
    the next entries that pass its filters -> its destination -> its position, if the lease has not ended
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from opentelemetry import metrics

from quartet_audit.config import AuditConfig
from quartet_audit.streams import stream_store
from quartet_audit.streams.stream_domain import OCSF, DeliveryError, Stream, after_failure
from quartet_audit.streams.stream_message_domain import BatchEntry
from quartet_audit.streams.stream_reading import read_batch
from quartet_audit.streams.stream_senders import Senders
from quartet_audit.streams.stream_usecases import pause
from quartet_common.auth.sealing import Sealer, WrongMasterKeyError
from quartet_common.core.caller import Caller
from quartet_common.core.errors import ServiceError
from quartet_common.core.identifiers import new_id
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two looks for streams that are due."""
MAX_RUNNING = 100
"""Streams that a worker delivers at a time; each has a batch in memory (stream_reading.MAX_BYTES)."""
MAX_READING = 3
"""Connections of the pool that they use at a time: the rest is for appending."""
TURN = 5.0
"""Seconds after which a stream with more entries waits for its next turn."""
LEASE = timedelta(seconds=60)
"""How long a stream stays with a worker that has died: more than a batch may take (stream_senders.TIMEOUT)."""


class StreamDelivery:
    """Delivers the streams of this installation, with the other workers; `run` is a schedule of the worker."""

    def __init__(self, container: AppContainer[AuditConfig]) -> None:
        self._container = container
        self._sealer = Sealer(container.config.master_key.get_secret_value())
        self._senders = Senders(container.config, container.clock, MAX_RUNNING)
        self._running: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Semaphore(MAX_READING)
        meter = metrics.get_meter("quartet_audit.streams")
        self._batches = meter.create_counter(
            "quartet.audit.stream.batches", description="batches for destinations of streams by type and result"
        )
        self._entries = meter.create_counter(
            "quartet.audit.stream.entries", description="entries that destinations of streams have taken, by type"
        )
        self._paused = meter.create_counter(
            "quartet.audit.streams.paused", description="streams that were paused because their destination failed"
        )

    async def run(self) -> None:
        """Deliver until cancelled. What is being delivered then may be delivered once more."""
        try:
            while True:
                try:
                    await self.start_due()
                except ServiceError as error:
                    logger.warning("streams are not delivered", extra={"error": str(error)})
                await asyncio.sleep(INTERVAL)
        finally:
            await end_tasks(self._running)
            await self._senders.close()

    async def start_due(self) -> int:
        """Start to deliver streams that are due; returns how many. Raises UnavailableError without PostgreSQL."""
        lease, now = new_id(), self._container.clock()
        room = MAX_RUNNING - len(self._running)
        if room <= 0:
            return 0
        async with self._reading, self._container.database.transaction() as connection:
            claimed = await stream_store.claim(connection, lease, now, now + LEASE, room)
        for stream, sealed in claimed:
            task = asyncio.create_task(self._deliver(stream, sealed, lease), name=f"stream {stream.id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(claimed)

    async def finish(self) -> None:
        """Wait until what was started has ended."""
        if self._running:
            await asyncio.wait(self._running)

    async def _deliver(self, stream: Stream, sealed: Sequence[str], lease: UUID) -> None:
        """One turn of a stream. Failures are stored, and never raised."""
        deadline = time.monotonic() + TURN
        try:
            following = await self._deliver_batch(stream, sealed, lease)
            while following is not None and time.monotonic() < deadline:
                following = await self._deliver_batch(following, sealed, lease)
            await self._release(stream, lease)
        except asyncio.CancelledError:  # this worker stops: another one need not wait until the lease expires
            await self._release(stream, lease)
            raise
        except ServiceError as error:  # PostgreSQL is unavailable: the lease will expire
            logger.warning("a stream is not delivered", extra={"stream": str(stream.id), "error": str(error)})
        except Exception:
            logger.exception("a stream is not delivered", extra={"stream": str(stream.id)})

    async def _release(self, stream: Stream, lease: UUID) -> None:
        async with self._reading, self._container.database.statement() as connection:
            await stream_store.release(connection, stream, lease, self._container.clock())

    async def _deliver_batch(self, stream: Stream, sealed: Sequence[str], lease: UUID) -> Stream | None:
        """Deliver the next entries; returns the stream behind them, None if there are no more, or not now."""
        database = self._container.database
        async with self._reading:
            wanted = stream.tenant, stream.filters.search, stream.position, stream.batch_end
            batch = await read_batch(self._container, *wanted, leaves=stream.format == OCSF)
        if batch.entries:
            try:
                await self._send(stream, sealed, batch.entries)
            except DeliveryError as error:
                await self._fail(stream, lease, batch.end, error)
                return None
        now = self._container.clock()
        async with self._reading, database.statement() as connection:
            delivered_at = now if batch.entries else None
            is_stored = await stream_store.advance(connection, stream, lease, batch.end, now + LEASE, delivered_at)
        if not is_stored or batch.end >= batch.size:
            return None
        return replace(stream, position=batch.end, batch_end=None, failures=0, failing_since=None)

    async def _send(self, stream: Stream, sealed: Sequence[str], entries: Sequence[BatchEntry]) -> None:
        """Have the destination take `entries`. Raises DeliveryError."""
        labels = {"type": type(stream.destination).__name__.lower()}
        try:
            secrets = [self._sealer.open(f"of stream {stream.id}", one).decode() for one in sealed]
            await self._senders.send(stream, secrets, entries)
        except WrongMasterKeyError as error:
            self._batches.add(1, {**labels, "result": "failed"})
            raise DeliveryError(str(error)) from error
        except DeliveryError:
            self._batches.add(1, {**labels, "result": "failed"})
            raise
        except Exception as error:
            self._batches.add(1, {**labels, "result": "failed"})
            logger.exception("a batch of a stream cannot be sent", extra={"stream": str(stream.id)})
            raise DeliveryError(f"the batch cannot be sent: {type(error).__name__}") from error
        self._batches.add(1, {**labels, "result": "delivered"})
        self._entries.add(len(entries), labels)

    async def _fail(self, stream: Stream, lease: UUID, batch_end: int, error: DeliveryError) -> None:
        """Store when the batch is sent again, or pause the stream and publish the event of it."""
        container, now = self._container, self._container.clock()
        failure = after_failure(stream, error, now, random.random())  # noqa: S311  # nosec B311  # nothing is secret here
        caller = Caller.service(stream.tenant, container.config.client_id)
        async with self._reading, unit_of_work(container, caller) as work:
            if not await stream_store.holds(work.connection, stream, lease):
                return
            await stream_store.fail(work.connection, stream, lease, now, batch_end, failure, str(error))
            if failure.pause_reason is not None:
                await pause(work, stream, failure.pause_reason)
        if failure.pause_reason is not None:
            self._paused.add(1)
            known = {"stream": str(stream.id), "stream_tenant": stream.tenant, "reason": failure.pause_reason}
            logger.warning("a stream is paused", extra=known)
