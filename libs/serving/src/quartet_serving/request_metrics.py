"""Request metrics: a trace id and measurements for each request; spans only if they are exported."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple

from opentelemetry import context, metrics, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware, asgi_getter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Gauge, Histogram

from quartet_serving.exchange import ROUTE

App = Callable[..., Any]
Labels = tuple[str, ...]
Record = Callable[[float], object]

ABANDONED = 499
"""The status of a request whose client disconnected before the response, as proxies count it."""
CARRIERS = frozenset({b"traceparent", b"tracestate"})
PROPAGATOR = TraceContextTextMapPropagator()
"""W3C Trace Context only: baggage is not needed, clients can send any, and its parser logs errors."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The buckets of durations that OpenTelemetry advises."""
BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SCHEMES = frozenset({"http", "https"})
OTHER = "_OTHER"
RUNNING = ("http.request.method", "url.scheme")
SIZED = (*RUNNING, "http.response.status_code")
TIMED = (*SIZED, "http.route")
"""The labels of the measurements, by the semantic conventions. None has values that clients invent."""
NOTHING = context.Context()


def with_request_metrics(app: App, health_path: str, *, exports_spans: bool) -> App:
    """`app`, measured, with spans by OpenTelemetry's own middleware if they are exported, else without spans.

    Requests below `health_path`, which machines send all the time, are neither traced nor counted.
    """
    if not exports_spans:
        return Measured(app, health_path)
    traced = OpenTelemetryMiddleware(
        app,
        exclude_spans=["receive", "send"],
        excluded_urls=f"^[a-z]+://[^/]*{re.escape(health_path)}",
        meter_provider=metrics.NoOpMeterProvider(),  # its measurements have no routes
    )
    return Measured(traced, health_path, metrics.get_meter(__name__))


class Instruments(NamedTuple):
    """Functions that give, for values of labels, the function that records a measurement."""

    duration: Callable[[Labels], Record]
    size: Callable[[Labels], Record]
    running: Callable[[Labels], Record]


class Measured:
    """An ASGI application whose requests have trace ids, the caller's or new ones, and are measured.

    With a `meter` the application makes spans itself, and the measurements are also exported by OTLP; without one they
    are Prometheus text only, which costs less. Names are those of OpenTelemetry's semantic conventions. Requests below
    `health` are left out.
    """

    def __init__(self, app: App, health: str, meter: metrics.Meter | None = None) -> None:
        self._app = app
        self._health = health
        self._ids = RandomIdGenerator()
        self._makes_ids = meter is None
        self._instruments = _prometheus() if meter is None else _exported(meter)
        self._series: dict[tuple[str, str, int, str], tuple[Record, Record]] = {}
        self._running: dict[tuple[str, str], Record] = {}
        for method, scheme, status in product(("GET", "POST"), SCHEMES, (500, 503)):
            self._recorders(method, scheme, status, "")  # exported from the start, since alerts count errors

    async def __call__(self, scope: dict[str, Any], receive: App, send: App) -> None:
        """Run the application, and measure it."""
        if scope["type"] != "http" or scope["path"].startswith(self._health):
            await self._app(scope, receive, send)
            return
        status, size = 0, 0

        async def seen(message: dict[str, Any]) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else OTHER
        scheme = scope["scheme"] if scope["scheme"] in SCHEMES else OTHER
        add_running = self._gauge(method, scheme)
        add_running(1)
        token = context.attach(self._context(scope)) if self._makes_ids else None
        started = time.perf_counter()
        try:
            await self._app(scope, receive, seen)
        except asyncio.CancelledError:
            status = status or ABANDONED
            raise
        finally:
            if token is not None:
                context.detach(token)
            add_running(-1)
            record_duration, record_size = self._recorders(method, scheme, status or 500, scope.get(ROUTE, ""))
            record_duration(time.perf_counter() - started)
            record_size(size)

    def _context(self, scope: dict[str, Any]) -> context.Context:
        """The trace of the request's headers, or a new one, with an unrecorded span of our own."""
        for name, _ in scope["headers"]:
            if name in CARRIERS:
                return self._continued(PROPAGATOR.extract(scope, getter=asgi_getter))
        own = SpanContext(self._ids.generate_trace_id(), self._ids.generate_span_id(), is_remote=False)
        return trace.set_span_in_context(NonRecordingSpan(own), NOTHING)

    def _continued(self, found: context.Context) -> context.Context:
        parent = trace.get_current_span(found).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else self._ids.generate_trace_id()
        own = SpanContext(trace_id, self._ids.generate_span_id(), is_remote=False, trace_state=parent.trace_state)
        return trace.set_span_in_context(NonRecordingSpan(own), found)

    def _gauge(self, method: str, scheme: str) -> Record:
        found = self._running.get((method, scheme))
        if found is None:
            found = self._running[method, scheme] = self._instruments.running((method, scheme))
        return found

    def _recorders(self, method: str, scheme: str, status: int, route: str) -> tuple[Record, Record]:
        key = method, scheme, status, route
        found = self._series.get(key)
        if found is None:
            sized = method, scheme, str(status)
            recorders = self._instruments.duration((*sized, route)), self._instruments.size(sized)
            found = self._series[key] = recorders
        return found


@cache
def _prometheus() -> Instruments:
    """The process's instruments: Prometheus accepts each name once."""

    def named(labels: Sequence[str]) -> list[str]:
        return [label.replace(".", "_") for label in labels]

    durations = Histogram(
        "http_server_request_duration_seconds", "Duration of requests.", named(TIMED), buckets=SECONDS
    )
    sizes = Histogram("http_server_response_body_size_bytes", "Size of responses.", named(SIZED), buckets=BYTES)
    running = Gauge("http_server_active_requests", "Requests that run.", named(RUNNING))
    return Instruments(
        lambda labels: durations.labels(*labels).observe,
        lambda labels: sizes.labels(*labels).observe,
        lambda labels: running.labels(*labels).inc,
    )


def _exported(meter: metrics.Meter) -> Instruments:
    """The same as instruments of OpenTelemetry."""

    def of(record: Callable[..., None], names: Labels) -> Callable[[Labels], Record]:
        return lambda labels: partial(record, attributes=dict(zip(names, labels, strict=True)))

    def histogram(name: str, unit: str, text: str, buckets: Sequence[float]) -> Callable[..., None]:
        return meter.create_histogram(name, unit, text, explicit_bucket_boundaries_advisory=buckets).record

    duration = histogram("http.server.request.duration", "s", "Duration of requests.", SECONDS)
    size = histogram("http.server.response.body.size", "By", "Size of responses.", BYTES)
    running = meter.create_up_down_counter("http.server.active_requests", "{request}", "Requests that run.")
    return Instruments(of(duration, TIMED), of(size, SIZED), of(running.add, RUNNING))
