"""Trace context of messages, from outbox rows and to message headers; and the spans of handled events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aio_pika.abc import AbstractIncomingMessage
from aiormq.abc import FieldValue
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from quartet_common.messaging.envelope import Event

tracer = trace.get_tracer(__name__)
_propagator = TraceContextTextMapPropagator()


def context_of(traceparent: str | None) -> Context:
    """The context of `traceparent`; a new one without it."""
    return _propagator.extract({"traceparent": traceparent} if traceparent else {}, context=Context())


def is_sampled(traceparent: str | None) -> bool:
    """Whether the spans of its trace are recorded (the flags of W3C Trace Context section 3.2.2.5)."""
    return traceparent is not None and traceparent[-2:] not in ("", "00")


def trace_id_of(traceparent: str | None) -> str:
    """The trace id, in hex; empty without one."""
    return traceparent[3:35] if traceparent else ""


def inject(context: Context) -> dict[str, FieldValue]:
    """Message headers that propagate `context`."""
    carrier: dict[str, FieldValue] = {}
    _propagator.inject(carrier, context=context)
    return carrier


def process_span(event: Event, message: AbstractIncomingMessage, queue: str) -> Span:
    """The span of handling `event`: a child of the relay's span if that belongs to the event's own trace, else of the
    request that caused the event.
    """
    header, own = message.headers.get("traceparent"), event.traceparent
    parent = header if isinstance(header, str) and trace_id_of(header) == trace_id_of(own or header) else own
    return tracer.start_span(
        f"process {event.type}",
        context=context_of(parent),
        kind=SpanKind.CONSUMER,
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
            "messaging.message.id": str(event.id),
            "quartet.tenant": event.tenantid,
        },
    )


@contextmanager
def handling(spans: Sequence[Span], events: int, service: str) -> Iterator[None]:
    """Make the span of a single event the current one; for several events, a span of the batch that links to
    `spans`.
    """
    if events == 1:
        with trace.use_span(spans[0], record_exception=False):
            yield
        return
    links = [Link(span.get_span_context()) for span in spans]
    batch = tracer.start_span(f"process batch {service}", Context(), SpanKind.CONSUMER, links=links)
    with trace.use_span(batch, end_on_exit=True, record_exception=False):
        yield
