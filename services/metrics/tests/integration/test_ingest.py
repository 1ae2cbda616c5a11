"""Metrics from applications: OTLP and remote write on the real engine, limits, deltas, and hostile bodies."""

import asyncio
import gzip
import json
import time
from collections.abc import Sequence
from typing import Any

import cramjam
import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from quartet_common.config.rate_limit import Limit
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_metrics.app import SERVICE
from quartet_metrics.engine.engine_usecases import EngineWriter, rebuild
from quartet_metrics.ingest.delta_usecases import pruning_deltas
from quartet_metrics.ingest.ingest_usecases import Ingest
from quartet_metrics.ingest.otlp_points import read_points
from quartet_metrics.ingest.point_domain import WHOLE, Collected, Point
from quartet_metrics.ingest.remote_write_points import WriteRequest
from quartet_metrics.prometheus.prometheus_parameters import read_instant
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant, run_service

OTLP, REMOTE_WRITE = "/metrics/otlp/v1/metrics", "/metrics/prometheus/api/v1/write"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
REMOTE_WRITE_2 = f"{PROTOBUF};proto=io.prometheus.write.v2.Request"
NO_MESSAGE = bytes(cramjam.snappy.compress_raw(b"\xff\xff"))
DELTA, CUMULATIVE = 1, 2
SECOND = 10**9


def ago(seconds: float) -> int:
    """The time so many seconds ago, in nanoseconds."""
    return time.time_ns() - round(seconds * SECOND)


def number(value: float, at: int, start: Any = 0, **attributes: Any) -> dict[str, Any]:
    named = [{"key": key, "value": {"stringValue": text}} for key, text in attributes.items()]
    return {"asDouble": value, "timeUnixNano": str(at), "startTimeUnixNano": str(start), "attributes": named}


def gauge(name: str, *points: dict[str, Any], unit: str = "") -> dict[str, Any]:
    return {"name": name, "unit": unit, "gauge": {"dataPoints": list(points)}}


def counter(name: str, *points: dict[str, Any], temporality: int = CUMULATIVE) -> dict[str, Any]:
    summed = {"dataPoints": list(points), "aggregationTemporality": temporality, "isMonotonic": True}
    return {"name": name, "sum": summed}


def otlp(*metrics: dict[str, Any], **resource: str) -> bytes:
    attributes = [{"key": key, "value": {"stringValue": text}} for key, text in resource.items()]
    scopes = [{"scope": {}, "metrics": list(metrics)}]
    return json.dumps({"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": scopes}]}).encode()


def write_request(*series: tuple[dict[str, str], Sequence[tuple[float, int]]]) -> bytes:
    request = WriteRequest()
    for labels, samples in series:
        added = request.timeseries.add()
        for name, text in labels.items():
            added.labels.add(name=name, value=text)
        for value, at in samples:
            added.samples.add(value=value, timestamp=at // 1_000_000)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


class Application:
    """An application of a tenant that sends and queries."""

    def __init__(self, metrics: RunningService, tenant: str | None = None) -> None:
        self.metrics = metrics
        self.tenant = tenant or new_tenant()
        self.queries = PrometheusQueries(metrics.container)

    async def post(self, path: str, body: bytes, scope: str = "metrics:write", **headers: str) -> Any:
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.metrics.tokens.headers(self.tenant, [scope])
        return await self.metrics.client.post(path, data=body, headers={**token, **own})

    async def send(self, *sent: dict[str, Any], **resource: str) -> dict[str, Any]:
        """Send metrics as JSON; the partial success, empty if all was taken."""
        response = await self.post(OTLP, otlp(*sent, **resource), Content_Type=JSON)
        assert response.status_code == 200, await response.get_data()
        await self.flush()
        return dict(json.loads(await response.get_data()).get("partialSuccess", {}))

    async def write(self, body: bytes) -> tuple[int, str]:
        headers = {"Content_Type": PROTOBUF, "Content_Encoding": "snappy"}
        response = await self.post(REMOTE_WRITE, body, **headers)
        await self.flush()
        return response.status_code, (await response.get_data()).decode()

    async def flush(self) -> None:
        """Have the engine show what it has; else it may remember for ten seconds that it had nothing."""
        config = self.metrics.container.config
        if config.metrics_engine_url:
            own = ("quartet", config.metrics_engine_password.get_secret_value())
            url = f"{config.metrics_engine_url}/internal/force_flush"
            assert (await self.metrics.container.http.get(url, auth=own)).is_success

    async def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        found = json.loads(await self.queries.evaluate(self.tenant, "query", read_instant({"query": [query]})))
        return [(one["metric"], float(one["value"][1])) for one in found["data"]["result"]]

    async def shows(self, query: str, expected: Any) -> None:
        """Wait until a query has one result with this value, or these label sets with values."""
        found: Any = None

        async def is_shown() -> bool:
            nonlocal found
            found = await self.ask(query)
            if isinstance(expected, list):
                return sorted(found, key=str) == sorted(expected, key=str)
            return [value for _, value in found] == [expected]

        try:
            await eventually(is_shown, query, 15)
        except AssertionError:
            pytest.fail(f"{query} is {found}, not {expected}")


@pytest.fixture
def app(metrics: RunningService, engine: str) -> Application:
    return Application(metrics)


async def test_a_gauge_and_a_counter_have_the_names_and_labels_of_the_specification(app: Application) -> None:
    at = ago(1)
    sent = await app.send(
        gauge("process.memory.usage", number(12.5, at, kind="heap"), unit="By"),
        counter("http.requests", number(7, at, **{"http.route": "/a", "http_route": "b"})),
        **{"service.name": "shop", "service.namespace": "eu", "service.instance.id": "i-1", "host.name": "web1"},
    )
    assert sent == {}
    own = {"job": "eu/shop", "instance": "i-1"}
    await app.shows(
        "process_memory_usage_bytes", [({"__name__": "process_memory_usage_bytes", "kind": "heap", **own}, 12.5)]
    )
    await app.shows("http_requests_total", [({"__name__": "http_requests_total", "http_route": "/a;b", **own}, 7.0)])
    await app.shows("target_info", [({"__name__": "target_info", "host_name": "web1", **own}, 1.0)])


async def test_another_tenant_sees_nothing_and_no_sender_can_set_the_tenant(
    metrics: RunningService, app: Application
) -> None:
    other = Application(metrics)
    refused = await app.send(
        gauge("mine", number(1, ago(1)), number(1, ago(1), tenant=other.tenant), number(1, ago(1), __name__="theirs"))
    )
    assert refused["rejectedDataPoints"] == "2"
    assert "2 refused (reserved_label): the label 'tenant' is reserved." in refused["errorMessage"]
    for labels in ({"__name__": "mine", "tenant": other.tenant}, {"__name__": "mine", "__tenant__": "x"}):
        status, text = await app.write(write_request((labels, [(1, ago(1))])))
        assert (status, json.loads(text)["code"]) == (400, "samples_refused")
        assert "reserved_label" in text
    await app.shows("mine", 1.0)
    assert await other.ask('{__name__!=""}') == []


@pytest.mark.parametrize("name", ["quartet_users", "quartet_engine_filled", "quartet.events"])
async def test_names_of_quartet_are_refused(app: Application, name: str) -> None:
    refused = await app.send(gauge(name, number(1, ago(1))), gauge("own", number(1, ago(1))))
    assert refused["rejectedDataPoints"] == "1"
    assert "reserved_name" in refused["errorMessage"]
    if "." not in name:
        status, text = await app.write(write_request(({"__name__": name}, [(1, ago(1))])))
        assert status == 400
        assert "reserved_name" in text
    await app.shows("own", 1.0)
    assert await app.ask('{__name__=~"quartet.*"}') == []


async def test_remote_write_is_stored_and_what_is_invalid_in_it_is_refused_alone(app: Application) -> None:
    good = ({"__name__": "up", "job": "node"}, [(1.0, ago(30)), (0.0, ago(1))])
    assert await app.write(write_request(good)) == (204, "")
    await app.shows("up", 0.0)
    await app.shows("count_over_time(up[5m])", 2.0)
    bad = ({"__name__": "up", "job": "node", "a-b": "x"}, [(1.0, ago(1)), (2.0, ago(1))])
    status, text = await app.write(write_request(bad, ({"__name__": "fine"}, [(3.0, ago(1))])))
    answer = json.loads(text)
    assert (status, answer["status"], answer["errorType"]) == (400, "error", "bad_data")
    assert answer["error"].startswith("2 refused (bad_label):")
    await app.shows("fine", 3.0)


async def test_a_stale_marker_ends_a_series(app: Application) -> None:
    await app.write(write_request(({"__name__": "ended"}, [(1.0, ago(20))]), ({"__name__": "runs"}, [(1.0, ago(20))])))
    await app.shows("ended", 1.0)
    gone = {"timeUnixNano": str(ago(1)), "flags": 1}
    assert await app.send(gauge("ended", gone)) == {}
    await app.shows("ended", [])
    await app.shows("runs", 1.0)


async def test_deltas_become_exact_totals_in_several_processes_and_however_often_they_are_sent(
    metrics: RunningService, app: Application
) -> None:
    """Two processes add deltas of one counter at the same time, and each request is sent twice."""
    first = ago(300)
    async with run_service(SERVICE, metrics.container.config) as other:
        other.tokens = metrics.tokens
        other.container.key_finder = metrics.tokens.find_key
        apps = [app, Application(other, app.tenant)]

        async def send(turn: int) -> None:
            point = number(turn + 0.5, first + turn * SECOND, first + (turn - 1) * SECOND, queue="a")
            for one in (apps[turn % 2], apps[(turn + 1) % 2]):
                assert await one.send(counter("jobs", point, temporality=DELTA)) == {}

        for begun in range(1, 65, 8):
            await asyncio.gather(*(send(turn) for turn in range(begun, begun + 8)))
    total = sum(turn + 0.5 for turn in range(1, 65))
    await app.shows("jobs_total", total)
    await app.shows("increase(jobs_total[10m])", total)


async def test_a_delta_counts_once_if_the_engine_was_away_after_it_was_added(
    app: Application, monkeypatch: pytest.MonkeyPatch, metrics: RunningService
) -> None:
    ingest = Ingest(metrics.container)
    body = otlp(counter("jobs", number(5, ago(20), ago(30)), temporality=DELTA))

    async def take(sent: bytes) -> None:
        request = json_format.Parse(sent, ExportMetricsServiceRequest())
        await ingest.take(app.tenant, sent, lambda _, now: read_points(request, now))

    async def fails(_: bytes) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(ingest._engine, "write_samples", fails)
        with pytest.raises(ConnectionError):
            await take(body)
    await take(body)
    await take(otlp(counter("jobs", number(2, ago(10), ago(20)), temporality=DELTA)))
    await app.flush()
    await app.shows("jobs_total", 7.0)
    await app.shows("increase(jobs_total[10m])", 7.0)


async def test_a_delta_that_is_older_than_all_remembered_ones_is_refused(app: Application) -> None:
    points = [number(1, ago(100 - turn)) for turn in range(20)]
    assert await app.send(counter("jobs", *points, temporality=DELTA)) == {}
    late = await app.send(counter("jobs", number(1, ago(200)), temporality=DELTA))
    assert late["rejectedDataPoints"] == "1"
    assert "out_of_order" in late["errorMessage"]
    await app.shows("jobs_total", 20.0)


async def test_histograms_of_both_kinds_and_temporalities_have_exact_buckets(app: Application) -> None:
    at = ago(60)
    explicit = {"count": "6", "sum": 9.5, "explicitBounds": [0.5, 1, 2], "bucketCounts": ["1", "2", "3", "0"]}
    exponential = {
        "count": "10", "sum": 12, "scale": 3, "zeroCount": "2",
        "positive": {"offset": -2, "bucketCounts": ["1", "2", "3"]}, "negative": {"offset": 0, "bucketCounts": ["2"]},
    }  # fmt: skip
    for name, kind, point in (("old", "histogram", explicit), ("new", "exponentialHistogram", exponential)):
        for temporality in (DELTA, CUMULATIVE):
            for turn in (1, 2):
                times = {"timeUnixNano": str(at + turn * SECOND), "startTimeUnixNano": str(at)}
                data = {"dataPoints": [{**point, **times}], "aggregationTemporality": temporality}
                assert await app.send({"name": f"{name}.{temporality}", "unit": "s", kind: data}) == {}
    for temporality, factor in ((DELTA, 2), (CUMULATIVE, 1)):
        name = f"old_{temporality}_seconds"
        buckets = {"0.5": 1, "1": 3, "2": 6, "+Inf": 6}
        expected = [({"__name__": f"{name}_bucket", "le": le}, count * factor) for le, count in buckets.items()]
        await app.shows(f"{name}_bucket", expected)
        await app.shows(f"{name}_sum", 9.5 * factor)
        await app.shows(f"{name}_count", 6 * factor)
        name = f"new_{temporality}_seconds"
        ranges = {"0...0": 2, "0.8408964152537145...1": 3, "1...1.189207115002721": 3, "-1.189207115002721...-1": 2}
        expected = [({"__name__": f"{name}_bucket", "vmrange": one}, count * factor) for one, count in ranges.items()]
        await app.shows(f"{name}_bucket", expected)
        await app.shows(f"{name}_count", 10 * factor)
        [(_, median)] = await app.ask(f"histogram_quantile(0.5, {name}_bucket)")
        assert 0.84 < median < 1.0


async def test_points_far_from_now_are_refused_and_counted(app: Application) -> None:
    refused = await app.send(
        gauge("g", number(1, ago(90_000)), number(1, ago(-900)), number(1, 0), number(4, ago(-60)))
    )
    assert refused["rejectedDataPoints"] == "3"
    assert "2 refused (too_old)" in refused["errorMessage"]
    assert "1 refused (in_future)" in refused["errorMessage"]
    status, text = await app.write(write_request(({"__name__": "w"}, [(1, ago(90_000)), (2, ago(1))])))
    assert status == 400
    assert "too_old" in text
    await app.shows("w", 2.0)
    await refusals_are(app, {"too_old": 3, "in_future": 1})


async def refusals_are(app: Application, expected: dict[str, int]) -> None:
    """Wait until the tenant can query how many points were refused."""
    writer = EngineWriter(app.metrics.container)
    headers = app.metrics.tokens.headers(app.tenant, ["metrics:read"])
    asked = {"metric": "quartet_refused_points_total", "by": "reason", "step": "minute"}

    async def are_counted() -> bool:
        response = await app.metrics.client.get("/metrics/query", query_string=asked, headers=headers)
        found = await response.get_json()
        return {one["key"]: sum(point["value"] for point in one["points"]) for one in found["series"]} == expected

    await eventually(are_counted, f"{expected} are counted", 15)
    await writer.run()
    await app.flush()
    name = "quartet_refused_points_total"
    await app.shows(name, [({"__name__": name, "reason": reason}, number) for reason, number in expected.items()])


async def test_the_limit_of_series_holds_across_processes_and_leaves_other_tenants_alone(
    metrics: RunningService, engine: str
) -> None:
    config = metrics.container.config.model_copy(update={"ingest_series": 30})
    tenant = new_tenant()
    async with run_service(SERVICE, config) as one, run_service(SERVICE, config) as two:
        first, second = Application(one, tenant), Application(two, tenant)
        results = await asyncio.gather(
            *(
                (first, second)[turn % 2].send(gauge("busy", *(number(1, ago(1), n=f"{turn}-{n}") for n in range(10))))
                for turn in range(8)
            )
        )
        assert sum(int(one.get("rejectedDataPoints", 0)) for one in results) == 50
        assert any("series_limit" in one.get("errorMessage", "") for one in results)
        await first.shows("count(busy)", 30.0)
        again = [(await app.send(gauge("busy", number(2, ago(0), n=n)))) for app in (first, second) for n in ("0-0",)]
        assert again[0] == again[1]
        assert await Application(one).send(gauge("busy", *(number(1, ago(1), n=str(n)) for n in range(30)))) == {}
        status, text = await second.write(write_request(({"__name__": "more"}, [(1, ago(1))])))
        assert (status, "series_limit" in text) == (400, True)
        await refusals_are(first, {"series_limit": 51})


async def test_the_limit_of_samples_holds_across_processes_and_leaves_other_tenants_alone(
    metrics: RunningService, engine: str
) -> None:
    config = metrics.container.config.model_copy(update={"ingest_samples": Limit(100, 60)})
    tenant = new_tenant()
    async with run_service(SERVICE, config) as one, run_service(SERVICE, config) as two:
        first, second = Application(one, tenant), Application(two, tenant)
        points = [number(1, ago(turn)) for turn in range(45)]
        assert await first.send(gauge("busy", *points)) == {}
        assert await second.send(gauge("busy", *points)) == {}

        for app in (first, second):
            assert await taken_until_refused(app) < 50  # alone, each takes 55 more
        response = await second.post(OTLP, otlp(gauge("busy", *points)), Content_Type=JSON)
        error = json.loads(await response.get_data())
        assert (response.status_code, error["code"]) == (429, 8)
        assert int(response.headers["Retry-After"]) >= 1
        assert "100 samples in 60 s" in error["message"]
        status, text = await second.write(write_request(({"__name__": "more"}, [(1, ago(n)) for n in range(45)])))
        assert (status, json.loads(text)["code"]) == (429, "too_many_requests")
        assert await Application(two).send(gauge("busy", *points)) == {}
        await refusals_are(second, {"rate_limit": 1 + 1 + 45 + 45})


async def taken_until_refused(app: Application) -> int:
    """How many samples are taken, one at a time, until the process knows that the limit is reached."""
    taken = 0

    async def is_refused() -> bool:
        nonlocal taken
        response = await app.post(OTLP, otlp(gauge("busy", number(1, ago(1)))), Content_Type=JSON)
        taken += response.status_code == 200
        return bool(response.status_code == 429)

    await eventually(is_refused, "the samples of both processes count")
    return taken


async def test_series_with_too_much_are_refused_alone(app: Application) -> None:
    many = {f"l{n}": "x" for n in range(27)}
    refused = await app.send(
        gauge(
            "g", number(1, ago(1), **many), number(1, ago(1), long="x" * 1025), number(1, ago(1), **{"n" * 201: "x"})
        ),
        gauge("", number(1, ago(1))),
        gauge("n" * 300, number(1, ago(1))),
        counter("c", number(1, ago(1)), temporality=0),
        counter("c", number(-1, ago(1)), temporality=DELTA),
        gauge("good", number(1, ago(1), **{f"l{n}": "x" * 1024 for n in range(26)})),
    )
    assert refused["rejectedDataPoints"] == "7"
    for reason in (
        "1 refused (too_many_labels)",
        "3 refused (too_long)",
        "1 refused (bad_name)",
        "2 refused (bad_point)",
    ):
        assert reason in refused["errorMessage"], refused
    [(labels, _)] = await shown_labels(app, "good")
    assert len(labels) == 27


async def shown_labels(app: Application, query: str) -> list[tuple[dict[str, str], float]]:
    found: list[tuple[dict[str, str], float]] = []

    async def is_there() -> bool:
        found[:] = await app.ask(query)
        return bool(found)

    await eventually(is_there, query, 15)
    return found


async def test_bombs_broken_bodies_and_wrong_types_get_clear_errors(app: Application) -> None:
    snappy = {"Content_Type": PROTOBUF, "Content_Encoding": "snappy"}
    bomb = gzip.compress(b"\0" * 50_000_000)
    claims_much = b"\xff\xff\xff\xff\x0f" + b"x" * 100
    deep = b'{"resourceMetrics":' + b"[" * 100_000
    for path, body, headers, status, text in (
        (OTLP, bomb, {"Content_Type": PROTOBUF, "Content_Encoding": "gzip"}, 413, "larger than 4194304 bytes"),
        (OTLP, b"x" * 5_000_000, {"Content_Type": PROTOBUF}, 413, "limit of this path"),
        (OTLP, b"\x1f\x8b broken", {"Content_Type": PROTOBUF, "Content_Encoding": "gzip"}, 400, "not gzip"),
        (OTLP, gzip.compress(b"{}")[:-3], {"Content_Type": JSON, "Content_Encoding": "gzip"}, 400, "complete gzip"),
        (OTLP, b"\xff\xff\xff", {"Content_Type": PROTOBUF}, 400, "not a protobuf opentelemetry.proto.collector"),
        (OTLP, b"[1]", {"Content_Type": JSON}, 400, "not OTLP in JSON"),
        (OTLP, b'{"resourceMetrics":{}}', {"Content_Type": JSON}, 400, "not OTLP in JSON"),
        (OTLP, deep, {"Content_Type": JSON}, 400, "not OTLP in JSON"),
        (OTLP, b'"\xff"', {"Content_Type": JSON}, 400, "not OTLP in JSON"),
        (OTLP, b"", {"Content_Type": "text/plain"}, 415, "got 'text/plain'"),
        (OTLP, b"", {}, 415, "application/json"),
        (OTLP, b"", {"Content_Type": PROTOBUF, "Content_Encoding": "zstd"}, 415, "identity or gzip, got 'zstd'"),
        (REMOTE_WRITE, claims_much, snappy, 413, "larger than 4194304 bytes"),
        (REMOTE_WRITE, b"broken", snappy, 400, "no snappy block"),
        (
            REMOTE_WRITE,
            bytes(cramjam.snappy.compress_raw(b"\xff\xff")),
            snappy,
            400,
            "protobuf prometheus.WriteRequest",
        ),
        (REMOTE_WRITE, b"", {"Content_Type": PROTOBUF}, 415, "must be snappy"),
        (REMOTE_WRITE, b"", {**snappy, "Content_Type": REMOTE_WRITE_2}, 415, "1.0"),
        (REMOTE_WRITE, b"", {**snappy, "Content_Type": JSON}, 415, "remote write 1.0"),
    ):
        response = await app.post(path, body, **headers)
        answer = await response.get_data()
        assert response.status_code == status, (text, answer)
        if path == REMOTE_WRITE:
            assert text in json.loads(answer)["error"]
        elif headers.get("Content_Type") == JSON:
            assert text in json.loads(answer)["message"]
        else:
            assert response.headers["Content-Type"] == PROTOBUF
            assert text in Status.FromString(answer).message
    wrong = await app.post(OTLP, otlp(), scope="metrics:read", Content_Type=PROTOBUF)
    assert (wrong.status_code, Status.FromString(await wrong.get_data()).code) == (403, 7)


async def test_a_small_request_of_many_large_samples_is_refused(app: Application) -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    scope.scope.name = "x" * 1000
    metric = scope.metrics.add(name="g")
    for _ in range(100_000):
        metric.gauge.data_points.add(time_unix_nano=ago(1), as_double=1)
    response = await app.post(OTLP, request.SerializeToString(), Content_Type=PROTOBUF)
    assert response.status_code == 413
    assert "Send fewer points" in Status.FromString(await response.get_data()).message


async def test_protobuf_with_gzip_is_answered_in_protobuf(app: Application) -> None:
    request = ExportMetricsServiceRequest()
    metric: Metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="g")
    metric.gauge.data_points.add(time_unix_nano=ago(1), as_int=3)
    metric.gauge.data_points.add(time_unix_nano=1, as_int=3)
    body = gzip.compress(request.SerializeToString())
    response = await app.post(OTLP, body, Content_Type=PROTOBUF, Content_Encoding="gzip")
    assert (response.status_code, response.headers["Content-Type"]) == (200, PROTOBUF)
    answer = ExportMetricsServiceResponse.FromString(await response.get_data())
    assert answer.partial_success.rejected_data_points == 1
    await app.shows("g", 3.0)


async def test_without_an_engine_the_sender_is_told_to_wait(metrics: RunningService) -> None:
    config = metrics.container.config.model_copy(update={"metrics_engine_url": None})
    async with run_service(SERVICE, config) as running:
        app = Application(running)
        response = await app.post(OTLP, otlp(gauge("g", number(1, ago(1)))), Content_Type=JSON)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert json.loads(await response.get_data())["code"] == 14
        status, text = await app.write(write_request(({"__name__": "g"}, [(1, ago(1))])))
        assert (status, json.loads(text)["code"]) == (503, "engine_unavailable")


async def test_a_rebuild_leaves_the_metrics_of_applications_and_a_deletion_removes_them(app: Application) -> None:
    container: AppContainer[Any] = app.metrics.container
    assert await app.send(counter("jobs", number(5, ago(20), ago(30)), temporality=DELTA)) == {}
    await app.shows("jobs_total", 5.0)
    await rebuild(container)
    await EngineWriter(container).run()
    await app.shows("jobs_total", 5.0)
    async with container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, app.tenant)
    for _ in range(2):  # what was on its way is deleted too: until the tombstone is some minutes old
        await EngineWriter(container).run()
        await app.shows("jobs_total", [])
        await Ingest(container).take(app.tenant, b"", lambda *_: late_point())
        await app.flush()
        await app.shows("late", 1.0)
    await EngineWriter(container).run()
    await app.shows("late", [])


def late_point() -> Collected:
    found = Collected()
    found.add(Point("late", b"", ago(1), {WHOLE: 1.0}))
    return found


async def test_totals_of_deltas_that_have_ended_are_deleted(app: Application) -> None:
    database = app.metrics.container.database
    for name in ("old", "new"):
        await app.send(counter(name, number(1, ago(1)), temporality=DELTA))
    old = Point("old_total", b"", 0, {WHOLE: 1.0}).key
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE delta_totals SET updated_at = now() - interval '8 days' WHERE tenant_id = $1 AND metric_key = $2",
            app.tenant,
            old,
        )
    await pruning_deltas(app.metrics.container).action()
    async with database.connection() as connection:
        left = await connection.fetch("SELECT metric_key FROM delta_totals WHERE tenant_id = $1", app.tenant)
    assert [row["metric_key"] for row in left] == [Point("new_total", b"", 0, {WHOLE: 1.0}).key]
