"""OpenTelemetry setup: traces and metrics of the process; Prometheus text always, OTLP if an endpoint is set."""

import os
from collections.abc import Callable

import httpx
from opentelemetry import metrics, propagate, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import disable_created_metrics

from quartet_common.config.settings import ServiceConfig
from quartet_common.telemetry.sampling import sampler_of

HTTP_VIEW = View(
    instrument_name="http.client.*",
    attribute_keys={"http.request.method", "http.response.status_code", "error.type"},
)
"""The labels of the requests that a process sends. Never the address: each destination of a tenant would be a new time
series.
"""
NAMES = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""The variable by which the instrumentations choose names: with `http`, the stable ones, with base units."""


def start_telemetry(config: ServiceConfig, process: str) -> Callable[[], None]:
    """Set up the process's tracer and meter providers; return the function that flushes and stops them.

    Called once, by `__main__`. Without an endpoint no span is recorded, but trace ids are made and propagated.
    """
    resource = Resource.create(
        {
            "service.name": f"quartet-{config.service}-{process}",
            "service.namespace": "quartet",
        }
    )
    os.environ.setdefault(NAMES, "http")
    disable_created_metrics()  # type: ignore[no-untyped-call]  # published so
    sampler = sampler_of(config.trace_sample_ratio) if config.otlp_endpoint else ALWAYS_OFF
    tracer_provider = TracerProvider(sampler=sampler, resource=resource)
    readers: list[MetricReader] = [PrometheusMetricReader()]
    if config.otlp_endpoint:
        readers.append(_export(config.otlp_endpoint.rstrip("/"), tracer_provider))
    meter_provider = MeterProvider(metric_readers=readers, resource=resource, views=[HTTP_VIEW])
    trace.set_tracer_provider(tracer_provider)
    propagate.set_global_textmap(TraceContextTextMapPropagator())  # not baggage, which any client may send
    metrics.set_meter_provider(meter_provider)
    _instrument(config)

    def stop() -> None:
        tracer_provider.shutdown()
        meter_provider.shutdown()

    return stop


def instrument_http(client: httpx.AsyncClient) -> None:
    """Record spans of `client` and propagate trace headers."""
    HTTPXClientInstrumentor.instrument_client(client)


def _export(endpoint: str, tracer_provider: TracerProvider) -> MetricReader:
    """Export spans in batches and metrics each minute; imported here, since only exporting processes pay for it."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=5)
    tracer_provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    return PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics", timeout=5))


def _instrument(config: ServiceConfig) -> None:
    # asyncpg and redis are patched, which costs time even without export
    if config.otlp_endpoint:
        from opentelemetry.instrumentation.redis import RedisInstrumentor

        AsyncPGInstrumentor().instrument()  # type: ignore[no-untyped-call]  # published so
        RedisInstrumentor().instrument()
