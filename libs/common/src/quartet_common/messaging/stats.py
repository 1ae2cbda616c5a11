"""Metrics of the outbox, the consumer and the queues, exported by the worker."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from quartet_common.data.connections import Connection

meter = metrics.get_meter(__name__)

DEPTH_LIMIT = 100_000
AGE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds; the default buckets of OpenTelemetry are for milliseconds."""


@dataclass(frozen=True)
class OutboxState:
    """The waiting events: `depth` rows (counted up to 100,000), and the age of the oldest in seconds."""

    depth: int
    lag: float


async def read_outbox(connection: Connection) -> OutboxState:
    """The current state of the outbox. The count stops at a limit, so that it is cheap after a long outage."""
    row = await connection.fetchrow(
        """
        SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT $1) AS waiting) AS depth,
               coalesce(extract(epoch FROM now() - (SELECT created_at FROM outbox ORDER BY id LIMIT 1)), 0)::float8
                   AS lag
        """,
        DEPTH_LIMIT,
    )
    if row is None:
        raise AssertionError("an aggregate always gives a row")
    return OutboxState(row["depth"], max(0.0, row["lag"]))


@dataclass(frozen=True)
class QueueState:
    """The messages that wait in a queue, and its consumers."""

    messages: int
    consumers: int


async def read_queues(connection: AbstractConnection, names: Iterable[str]) -> dict[str, QueueState]:
    """The state of each existing queue. Raises one of BROKER_ERRORS."""
    found: dict[str, QueueState] = {}
    channel = await connection.channel()
    for name in names:
        try:
            result = (await channel.declare_queue(name, passive=True)).declaration_result
        except ChannelNotFoundEntity:  # which closes the channel
            channel = await connection.channel()
        else:
            found[name] = QueueState(result.message_count or 0, result.consumer_count or 0)
    await channel.close()
    return found


RESULTS = ("handled", "duplicate", "delayed", "dead", "passed over")
"""Outcomes of an event; "passed over" is one without a subscription, in a batch."""


class OutboxStats:
    """Depth and lag of the outbox, and how many events were published or refused."""

    def __init__(self) -> None:
        self.state = OutboxState(0, 0.0)
        self.is_blocked = False
        """Whether an alarm of RabbitMQ blocks publishing."""
        self._published = meter.create_counter("quartet.outbox.published", description="events confirmed by RabbitMQ")
        self._failed = meter.create_counter("quartet.outbox.failed", description="publishes that were not confirmed")
        for counter in (self._published, self._failed):
            counter.add(0)  # exported from the start
        meter.create_observable_gauge(
            "quartet.outbox.depth", [self._depth], description="events that wait to be published"
        )
        meter.create_observable_gauge("quartet.outbox.lag", [self._lag], unit="s", description="age of the oldest")
        meter.create_observable_gauge(
            "quartet.outbox.blocked", [self._blocked], description="1 while an alarm of RabbitMQ blocks publishing"
        )

    def published(self, count: int) -> None:
        """`count` events were confirmed."""
        self._published.add(count)

    def failed(self) -> None:
        """One publish was not confirmed."""
        self._failed.add(1)

    def _depth(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.state.depth)]

    def _lag(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.state.lag)]

    def _blocked(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(self.is_blocked))]


class QueueStats:
    """Messages and consumers of the queues of all known consumers, also of stopped ones."""

    def __init__(self) -> None:
        self.state: Mapping[str, QueueState] = {}
        meter.create_observable_gauge(
            "quartet.queue.messages", [self._messages], description="messages that wait, of up to 200 events each"
        )
        meter.create_observable_gauge("quartet.queue.consumers", [self._consumers], description="consumers of a queue")

    def _messages(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(state.messages, {"queue": name}) for name, state in self.state.items()]

    def _consumers(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(state.consumers, {"queue": name}) for name, state in self.state.items()]


class ConsumerStats:
    """Events handled, duplicate, delayed and dead-lettered, and their age when they had been handled."""

    def __init__(self) -> None:
        self._events = meter.create_counter("quartet.consumer.events", description="events by what became of them")
        self._age = meter.create_histogram(
            "quartet.consumer.age",
            unit="s",
            description="from event to effect",
            explicit_bucket_boundaries_advisory=AGE_BUCKETS,
        )
        for result in RESULTS:
            self._events.add(0, {"result": result})  # exported from the start

    def count(self, result: str, number: int = 1) -> None:
        """`number` events ended as `result`, one of RESULTS."""
        if number:
            self._events.add(number, {"result": result})

    def age(self, event_time: float) -> None:
        """An event of `event_time` (seconds since the epoch) has had its effect now."""
        self._age.record(max(0.0, time.time() - event_time))
