"""Batches: which outbox rows share a message, and its body and span."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aio_pika import DeliveryMode, Message
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind

from quartet_common.messaging.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE, TYPE_PREFIX, encode_batch
from quartet_common.messaging.topology import EVENTS_HEADER, EXCHANGE
from quartet_common.messaging.tracing import context_of, inject, is_sampled

tracer = trace.get_tracer(__name__)

BATCH, BATCH_BYTES = 200, 256 * 1024
"""Maximum events and bytes of one message; a larger event is a message of its own."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An outbox row."""

    id: int
    tenant_id: str
    actor_id: str
    aggregate: str
    type: str
    event_id: UUID
    traceparent: str | None
    event: bytes

    @property
    def routing_key(self) -> str:
        """The routing key, without the prefix of the type."""
        return self.type.removeprefix(TYPE_PREFIX)


def batches(rows: Sequence[OutboxRow], is_taken: Callable[[str], bool] = lambda _: True) -> Iterator[list[OutboxRow]]:
    """`rows` in their order, in batches of at most BATCH rows and BATCH_BYTES. A row is alone if it is larger, or if no
    known consumer takes its routing key: RabbitMQ only reports whether a queue took the whole message.
    """
    batch: list[OutboxRow] = []
    size = 0
    for row in rows:
        is_alone = not is_taken(row.routing_key)
        if batch and (is_alone or len(batch) == BATCH or size + len(row.event) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += BATCH_BYTES if is_alone else len(row.event) + 1
    if batch:
        yield batch


def message_of(rows: Sequence[OutboxRow], keys: Sequence[str], span: Span) -> Message:
    """A message of one event, or of a batch. The first type is the routing key; the CC header has the others."""
    row = rows[0]
    headers = inject(trace.set_span_in_context(span, otel_context.Context()))
    if len(rows) == 1:
        body, content_type, message_id, kind = row.event, CONTENT_TYPE, str(row.event_id), row.type
    else:
        body, content_type, kind = encode_batch([one.event for one in rows]), BATCH_CONTENT_TYPE, "batch"
        message_id = f"{row.event_id}+{len(rows) - 1}"
        headers |= {EVENTS_HEADER: len(rows), "CC": list(keys[1:])}
    return Message(
        body,
        content_type=content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message_id,
        type=kind,
        headers=headers,
    )


def publish_span(rows: Sequence[OutboxRow], routing_key: str) -> Span:
    """The span of one message: a child of the trace of all its events, or else linked to each trace."""
    row = rows[0]
    attributes: dict[str, Any] = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "send",
        "messaging.destination.name": EXCHANGE,
        "messaging.rabbitmq.destination.routing_key": routing_key,
    }
    if len(rows) == 1:
        attributes |= {"messaging.message.id": str(row.event_id), "quartet.tenant": row.tenant_id}
    else:
        attributes["messaging.batch.message_count"] = len(rows)
    name = f"publish {row.type}" if all(one.type == row.type for one in rows) else "publish batch"
    traces = {one.traceparent for one in rows}
    if len(traces) == 1:
        return tracer.start_span(name, context_of(row.traceparent), SpanKind.PRODUCER, attributes)
    links = [Link(trace.get_current_span(context_of(one)).get_span_context()) for one in traces if is_sampled(one)]
    return tracer.start_span(name, otel_context.Context(), SpanKind.PRODUCER, attributes, links)
