"""How many points of applications a process takes in a second, from the request until the engine has them.

`.venv/bin/python bench/metric_ingest.py [POINTS]`. Bodies of 1,000 points with eight attributes, of 10,000 series and
ten tenants; four requests at a time, to the app in this process, on its private servers. Printed for each kind: points
per second, and microseconds of CPU per point here, in VictoriaMetrics, PostgreSQL and Redis. A point of a histogram is
13 samples. The figures are in docs/decisions/0041-points-of-applications.md.
"""

import asyncio
import gzip
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import cramjam
import psutil
import uvloop
from audit_events import cpu_seconds
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config.settings import read_config
from quartet_metrics.app import SERVICE
from quartet_metrics.config import MetricsConfig
from quartet_metrics.ingest.remote_write_points import WriteRequest
from quartet_testing.faults import pids
from quartet_testing.limits import WIDE
from quartet_testing.services import RunningService, run_service

BATCH, SERIES, TENANTS, AT_A_TIME = 1_000, 10_000, 10, 4
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
OTLP, REMOTE_WRITE = "/metrics/otlp/v1/metrics", "/metrics/prometheus/api/v1/write"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
SERVERS = ("victoria-metrics", "postgres", "redis")

Body = tuple[str, dict[str, str], bytes]


def attributes(number: int) -> dict[str, str]:
    """The labels of a series."""
    fixed = {f"label_{n}": f"value-{n}-{number % 7}" for n in range(7)}
    return fixed | {"series": str(number)}


def request(kind: str, first: int, now: int) -> ExportMetricsServiceRequest:
    """A request with BATCH points of as many series."""
    made = ExportMetricsServiceRequest()
    resource = made.resource_metrics.add()
    for key, value in (("service.name", "bench"), ("service.instance.id", "1")):
        resource.resource.attributes.add(key=key).value.string_value = value
    metric = resource.scope_metrics.add().metrics.add(name="bench.duration", unit="s")
    data = getattr(metric, "histogram" if kind == "histogram" else "sum" if "sum" in kind else "gauge")
    if kind != "gauge":
        data.aggregation_temporality = DELTA if kind == "delta sum" else CUMULATIVE
    for number in range(first, first + BATCH):
        point = data.data_points.add(time_unix_nano=now, start_time_unix_nano=now - 10**9)
        for key, value in attributes(number).items():
            point.attributes.add(key=key).value.string_value = value
        if kind == "histogram":
            point.explicit_bounds.extend(BOUNDS)
            point.bucket_counts.extend([number] * (len(BOUNDS) + 1))
            point.count, point.sum = number * (len(BOUNDS) + 1), number / 3
        else:
            point.as_double = number / 3
    return made


def protobuf(kind: str) -> Callable[[int, int], Body]:
    """Bodies in protobuf with gzip."""

    def make(first: int, now: int) -> Body:
        packed = gzip.compress(request(kind, first, now).SerializeToString(), 1)
        return OTLP, PROTOBUF | {"Content-Encoding": "gzip"}, packed

    return make


def json(first: int, now: int) -> Body:
    """A body in JSON."""
    return OTLP, {"Content-Type": "application/json"}, json_format.MessageToJson(request("gauge", first, now)).encode()


def remote_write(first: int, now: int) -> Body:
    """A request of Prometheus."""
    made = WriteRequest()
    for number in range(first, first + BATCH):
        series = made.timeseries.add()
        for name, value in {"__name__": "written", **attributes(number)}.items():
            series.labels.add(name=name, value=value)
        series.samples.add(value=number / 3, timestamp=now // 1_000_000)
    packed = bytes(cramjam.snappy.compress_raw(made.SerializeToString()))
    return REMOTE_WRITE, PROTOBUF | {"Content-Encoding": "snappy"}, packed


KINDS: dict[str, Callable[[int, int], Body]] = {
    "gauge": protobuf("gauge"),
    "cumulative sum": protobuf("cumulative sum"),
    "delta sum": protobuf("delta sum"),
    "histogram": protobuf("histogram"),
    "gauge, JSON": json,
    "remote write": remote_write,
}


def make_bodies(kind: str, points: int) -> list[Body]:
    """All bodies of a kind: in each round a point of each series, a second after the last one."""
    now = time.time_ns()
    return [
        KINDS[kind](batch * BATCH % SERIES, now + batch * BATCH // SERIES * 10**9)
        for batch in range((points + SERIES) // BATCH)
    ]


async def measure(service: RunningService, stack: Stack, kind: str, points: int) -> None:
    """Send all points of a kind; the first round, which makes the series, is not measured."""
    bodies = await asyncio.to_thread(make_bodies, kind, points)
    await send_all(service, bodies[: SERIES // BATCH])
    measured = bodies[SERIES // BATCH :]
    processes = [psutil.Process(pids(stack)[name]) for name in SERVERS]
    before = [time.process_time(), *map(cpu_seconds, processes)]
    begun = time.perf_counter()
    await send_all(service, measured)
    took = time.perf_counter() - begun
    after = [time.process_time(), *map(cpu_seconds, processes)]
    number = len(measured) * BATCH
    each = [f"{(end - start) / number * 1e6:.1f}" for start, end in zip(before, after, strict=True)]
    print(
        f"{kind:15} {number / took:8,.0f} points/s; us of CPU each: here {each[0]}, "
        + ", ".join(f"{name} {cost}" for name, cost in zip(SERVERS, each[1:], strict=True)),
        flush=True,
    )


async def send_all(service: RunningService, bodies: list[Body]) -> None:
    """Send bodies of the tenants in turn, AT_A_TIME at a time."""
    headers = [service.tokens.headers(f"bench{n}", ["metrics:write"]) for n in range(TENANTS)]
    left = iter(enumerate(bodies))

    async def work() -> None:
        for number, (path, own, body) in left:
            response = await service.client.post(path, data=body, headers=headers[number % TENANTS] | own)
            assert response.status_code in (200, 204), await response.get_data()
            assert b"refused" not in await response.get_data()

    await asyncio.gather(*(work() for _ in range(AT_A_TIME)))


@contextmanager
def configured() -> Iterator[tuple[Stack, MetricsConfig]]:
    """Servers that live as long as this, and the config of the service on them."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.start_servers()
            stack.start("victoria-metrics")
            with patch.dict("os.environ", stack.environment("metrics", "api")):
                yield stack, read_config(MetricsConfig).model_copy(update={"ingest_samples": None})
        finally:
            stack.down()
            remove(stack.home)


async def main(points: int) -> None:
    """Measure all kinds."""
    with configured() as (stack, config):
        async with run_service(SERVICE, config) as service:
            for kind in KINDS:
                await measure(service, stack, kind, points)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
