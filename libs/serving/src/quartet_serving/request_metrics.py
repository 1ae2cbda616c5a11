"""Request metrics: a trace id and measurements for each request; spans only if they are exported."""

import asyncio
import re
import time
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

from opentelemetry import context, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware, asgi_getter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Gauge, Histogram

App = Callable[..., Any]

ABANDONED = 499
"""The status of a request whose client disconnected before the response, as proxies count it."""
CARRIERS = frozenset({b"traceparent", b"tracestate"})
PROPAGATOR = TraceContextTextMapPropagator()
"""W3C Trace Context only: baggage is not needed, clients can send any, and its parser logs errors."""
MILLISECONDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SCHEMES = frozenset({"http", "https"})
OTHER = "_OTHER"
NOTHING = context.Context()


def with_request_metrics(app: App, health_path: str, *, exports_spans: bool) -> App:
    """`app` with spans by OpenTelemetry's own middleware if they are exported, else without spans.

    Requests below `health_path`, which machines send all the time, are neither traced nor counted.
    """
    if exports_spans:
        excluded = f"^[a-z]+://[^/]*{re.escape(health_path)}"
        return OpenTelemetryMiddleware(app, exclude_spans=["receive", "send"], excluded_urls=excluded)
    return Measured(app, health_path)


class Measured:
    """An ASGI application whose requests have trace ids, the caller's or new ones, and are measured for Prometheus.

    Names and meaning of the measurements are those of OpenTelemetry's middleware. No label has values that clients
    invent. Requests below `health` are left out.
    """

    def __init__(self, app: App, health: str) -> None:
        self._app = app
        self._health = health
        self._ids = RandomIdGenerator()
        self._duration, self._size, self._active = _instruments()
        self._series: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self._running: dict[tuple[str, str], Any] = {}
        for method, scheme, status in product(("GET", "POST"), SCHEMES, (500, 503)):
            self._duration.labels(method, scheme, status)  # exported from the start, since alerts count errors

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
        running = self._gauge(method, scheme)
        running.inc()
        token = context.attach(self._context(scope))
        started = time.perf_counter()
        try:
            await self._app(scope, receive, seen)
        except asyncio.CancelledError:
            status = status or ABANDONED
            raise
        finally:
            context.detach(token)
            running.dec()
            duration, sizes = self._histograms(method, scheme, status or 500)
            duration.observe((time.perf_counter() - started) * 1000)
            sizes.observe(size)

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

    def _gauge(self, method: str, scheme: str) -> Any:
        gauge = self._running.get((method, scheme))
        if gauge is None:
            gauge = self._running[method, scheme] = self._active.labels(method, scheme)
        return gauge

    def _histograms(self, method: str, scheme: str, status: int) -> tuple[Any, Any]:
        key = method, scheme, status
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = (self._duration.labels(*key), self._size.labels(*key))
        return found


@cache
def _instruments() -> tuple[Histogram, Histogram, Gauge]:
    """The process's instruments: Prometheus accepts each name once."""
    labels = ("http_method", "http_scheme", "http_status_code")
    return (
        Histogram("http_server_duration_milliseconds", "Duration of requests.", labels, buckets=MILLISECONDS),
        Histogram("http_server_response_size_bytes", "Size of responses.", labels, buckets=MILLISECONDS),
        Gauge("http_server_active_requests", "Requests that run.", labels[:2]),
    )
