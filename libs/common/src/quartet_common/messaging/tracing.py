"""Trace context on messages: read from an outbox row or a message header, written to a message header."""

from aiormq.abc import FieldValue
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


def context_of(traceparent: str | None) -> Context:
    """The context that `traceparent` names; a fresh one when there is none."""
    return _propagator.extract({"traceparent": traceparent} if traceparent else {}, context=Context())


def inject(context: Context) -> dict[str, FieldValue]:
    """Message headers that carry `context` on."""
    carrier: dict[str, FieldValue] = {}
    _propagator.inject(carrier, context=context)
    return carrier
