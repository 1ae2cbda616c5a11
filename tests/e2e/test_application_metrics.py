"""Unmodified senders: the OpenTelemetry SDK and Prometheus send metrics by the id and secret of an API client."""

import asyncio
import os
import shutil
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from quartet_cli import ports
from quartet_cli.stack import Stack
from quartet_testing.client import Api, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

APPLICATION = """
import os
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

kind = AggregationTemporality[os.environ["TEMPORALITY"]]
exporter = OTLPMetricExporter(preferred_temporality={Counter: kind, Histogram: kind})
resource = Resource({"service.name": "shop", "service.instance.id": kind.name, "host.name": "web1"})
views = [View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())]
provider = MeterProvider([PeriodicExportingMetricReader(exporter, 3_600_000)], resource, views=views)
meter = provider.get_meter("checkout", "1.2")
orders = meter.create_counter("orders", unit="{order}", description="orders that were paid")
duration = meter.create_histogram("duration", unit="s", explicit_bucket_boundaries_advisory=[0.5, 1, 2])
size = meter.create_histogram("size", unit="By")
meter.create_gauge("stock").set(12.5, {"ware.house": "north"})
for turn in range(1, 4):
    orders.add(turn, {"country": "de"})
    for value in (0.25, 0.75, 3.0):
        duration.record(value)
        size.record(value)
    assert provider.force_flush()
provider.shutdown()
print("sent")
"""
MODES = ("CUMULATIVE", "DELTA")


class Client:
    """An API client of a new tenant that writes and reads metrics."""

    def __init__(self, api: Api, client_id: str, secret: str) -> None:
        self.api = api
        self.id = client_id
        self.secret = secret
        self.basic = b64encode(f"{client_id}:{secret}".encode()).decode()

    async def value(self, query: str) -> float | None:
        """The value of a query that has one result or none."""
        url = "/metrics/prometheus/api/v1/query"
        answer = await self.api.get(url, params={"query": query}, headers={"Authorization": f"Basic {self.basic}"})
        assert answer.status_code == 200, answer.text
        found = answer.json()["data"]["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    async def metadata(self, metric: str) -> list[dict[str, str]]:
        """Type, unit and help of a metric."""
        url = "/metrics/prometheus/api/v1/metadata"
        answer = await self.api.get(url, params={"metric": metric}, headers={"Authorization": f"Basic {self.basic}"})
        return list(answer.json()["data"].get(metric, []))

    async def shows(self, query: str, expected: float) -> None:
        async def is_shown() -> bool:
            return await self.value(query) == expected

        try:
            await eventually(is_shown, query, 20)
        except AssertionError:
            pytest.fail(f"{query} is {await self.value(query)}, not {expected}")


@asynccontextmanager
async def client_of(stack: Stack, token_for: TokenFor) -> AsyncIterator[Client]:
    if "victoria-metrics" not in stack.programs:
        pytest.skip("victoria-metrics is not installed")
    async with Api(stack.url, await token_for(new_tenant())) as api:
        scopes = ["metrics:read", "metrics:write"]
        made = await api.post("/users/clients", json={"name": "shop", "scopes": scopes})
        assert made.status_code == 201, made.text
        yield Client(api, made.json()["client_id"], made.json()["client_secret"])


async def run_sdk(stack: Stack, client: Client, temporality: str) -> None:
    """The SDK in a process of its own, configured by its standard environment variables."""
    environment = os.environ | {
        "TEMPORALITY": temporality,
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{stack.url}/metrics/otlp/v1/metrics",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": f"authorization={quote(f'Basic {client.basic}')}",
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPLICATION, env=environment, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert (process.returncode, output.decode().strip()) == (0, "sent"), output.decode()


async def test_an_unmodified_opentelemetry_sdk_sends_exact_metrics(stack: Stack, token_for: TokenFor) -> None:
    async with client_of(stack, token_for) as client:
        await asyncio.gather(*(run_sdk(stack, client, temporality) for temporality in MODES))
        counter = [{"type": "counter", "unit": "", "help": "orders that were paid"}]

        async def is_described() -> bool:
            return await client.metadata("orders_total") == counter

        await eventually(is_described, "the metadata of the counter")
        assert await client.metadata("duration_seconds") == [{"type": "histogram", "unit": "seconds", "help": ""}]
        for temporality in MODES:
            own = f'job="shop",instance="{temporality}",otel_scope_name="checkout",otel_scope_version="1.2"'
            await client.shows(f'orders_total{{{own},country="de"}}', 6)
            await client.shows(f'stock{{{own},ware_house="north"}}', 12.5)
            await client.shows(f"duration_seconds_count{{{own}}}", 9)
            await client.shows(f"duration_seconds_sum{{{own}}}", 12)
            for bound, count in (("0.5", 3), ("1", 6), ("2", 6), ("+Inf", 9)):
                await client.shows(f'duration_seconds_bucket{{{own},le="{bound}"}}', count)
            await client.shows(f"sum(size_bytes_bucket{{{own}}})", 9)
            assert 0.6 < (await client.value(f"histogram_quantile(0.5, size_bytes_bucket{{{own}}})") or 0) < 0.8
            await client.shows(f'target_info{{job="shop",instance="{temporality}",host_name="web1"}}', 1)


@asynccontextmanager
async def running_prometheus(stack: Stack, client: Client, home: Path) -> AsyncIterator[int]:
    """Debian's Prometheus, which scrapes itself; its port."""
    [port] = ports.choose(1, set())
    secret = home / "secret"
    secret.write_text(client.secret)
    (home / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: itself
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
remote_write:
- url: {stack.url}/metrics/prometheus/api/v1/write
  basic_auth: {{username: {client.id}, password_file: {secret}}}
  metadata_config: {{send_interval: 1s}}
"""
    )
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
        f"--web.listen-address=127.0.0.1:{port}", stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_an_unmodified_prometheus_writes_what_it_scrapes(
    stack: Stack, token_for: TokenFor, tmp_path: Path
) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    async with client_of(stack, token_for) as client, running_prometheus(stack, client, tmp_path) as port:
        own = f'job="itself",instance="127.0.0.1:{port}"'

        async def has_many() -> bool:
            return (await client.value(f"count({{{own}}})") or 0) > 300

        await eventually(has_many, "the series of Prometheus", 60)
        await client.shows(f"up{{{own}}}", 1)
        failed = "sum(prometheus_remote_storage_samples_failed_total)"
        await client.shows(f"{failed} + sum(prometheus_remote_storage_samples_dropped_total)", 0)

        async def is_described() -> bool:
            [found] = await client.metadata("prometheus_remote_storage_samples_total") or [{"type": "", "help": ""}]
            return found["type"] == "counter" and "remote storage" in found["help"]

        await eventually(is_described, "the metadata of Prometheus", 30)
        assert await client.value("sum(quartet_refused_points_total)") is None
        assert (await client.value("sum(prometheus_remote_storage_samples_total)") or 0) > 300
