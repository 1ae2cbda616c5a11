"""The Prometheus API on the real engine: its paths and parameters, the requests of Grafana, and errors."""

import json
import time
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from quartet_metrics.engine.engine_client import EngineClient
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant

API = "/metrics/prometheus/api/v1"
START = 1_770_000_000
MINUTES = 60

Answer = tuple[int, Any]


def client(metrics: RunningService) -> EngineClient:
    return EngineClient(metrics.container.config, lambda: metrics.container.http)


async def fill(metrics: RunningService, tenant: str, name: str, **labels: str) -> None:
    """A counter that grows by 7 each minute."""
    metric = {"__name__": name, "tenant": tenant, **labels}
    values = [7 * minute for minute in range(MINUTES)]
    times = [(START + 60 * minute) * 1000 for minute in range(MINUTES)]
    await client(metrics).write(json.dumps({"metric": metric, "values": values, "timestamps": times}).encode())


async def ask(metrics: RunningService, tenant: str, path: str, form: Any = None, method: str = "GET") -> Answer:
    headers = metrics.tokens.headers(tenant, ["metrics:read"])
    encoded = urlencode(form or {}, doseq=True)
    if method == "GET":
        response = await metrics.client.get(f"{API}/{path}?{encoded}", headers=headers)
    else:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await metrics.client.post(f"{API}/{path}", data=encoded, headers=headers | kind)
    return response.status_code, json.loads(await response.get_data())


@pytest.fixture(scope="module")
async def tenant(metrics: RunningService, engine: str) -> str:
    """A tenant with a series, which is visible."""
    mine = new_tenant()
    await fill(metrics, mine, "sent_total", type="x")

    async def is_visible() -> bool:
        return bool((await ask(metrics, mine, "series", {"match[]": "sent_total", "start": START}))[1]["data"])

    await eventually(is_visible, "the samples are visible")
    return mine


END = START + 60 * (MINUTES - 1)


async def test_queries_are_answered_without_the_label_of_the_tenant(metrics: RunningService, tenant: str) -> None:
    for method in ("GET", "POST"):
        status, found = await ask(metrics, tenant, "query", {"query": "increase(sent_total[59m])", "time": END}, method)
        assert (status, found["status"]) == (200, "success")
        assert found["data"] == {"resultType": "vector", "result": [{"metric": {"type": "x"}, "value": [END, "413"]}]}
        wanted = {"query": "sent_total", "start": END - 120, "end": END, "step": "1m"}
        _, found = await ask(metrics, tenant, "query_range", wanted, method)
        [series] = found["data"]["result"]
        assert series["metric"] == {"__name__": "sent_total", "type": "x"}
        assert series["values"] == [[END - 120, "399"], [END - 60, "406"], [END, "413"]]
        _, found = await ask(metrics, tenant, "series", {"match[]": "sent_total", "start": START}, method)
        assert found["data"] == [{"__name__": "sent_total", "type": "x"}]
        assert (await ask(metrics, tenant, "labels", {"start": START}, method))[1]["data"] == ["__name__", "type"]
    span = {"start": START + 1, "end": END}
    _, found = await ask(metrics, tenant, "query_range", {"query": "sent_total", "step": "50", **span})
    assert [time for time, _ in found["data"]["result"][0]["values"]] == list(range(START + 1, END + 1, 50))
    span = {"start": START, "end": END}
    assert (await ask(metrics, tenant, "label/__name__/values", span))[1]["data"] == ["sent_total"]
    assert (await ask(metrics, tenant, "label/type/values", span | {"limit": 1}))[1]["data"] == ["x"]
    assert (await ask(metrics, tenant, "label/tenant/values", span))[1]["data"] == []
    _, found = await ask(metrics, tenant, "query", {"query": "sent_total[90s]", "time": END})
    assert found["data"]["resultType"] == "matrix"


async def test_another_tenant_sees_nothing_of_it(metrics: RunningService, tenant: str) -> None:
    other, span = new_tenant(), {"start": START, "end": END}
    for query in (
        f'sent_total{{tenant="{tenant}"}}',
        'count({__name__!=""})',
        "sent_total[1h]",
        "sum(sent_total) by (tenant)",
    ):
        _, found = await ask(metrics, other, "query", {"query": query, "time": END})
        assert found["data"]["result"] == [], query
    for path in ("labels", "label/type/values", "label/__name__/values"):
        assert not set((await ask(metrics, other, path, span))[1]["data"]) - {"__name__"}, path
    assert (await ask(metrics, other, "series", span | {"match[]": '{__name__!=""}'}))[1]["data"] == []


async def test_a_query_cannot_set_the_label_of_the_tenant(metrics: RunningService, tenant: str) -> None:
    for query in (
        'label_set(sent_total, "tenant", "other")',
        'label_replace(sent_total, "tenant", "$1", "type", "(.*)")',
        'count_values("tenant", sent_total)',
    ):
        status, found = await ask(metrics, tenant, "query", {"query": query, "time": END})
        assert (status, found["code"]) == (422, "reserved_label"), query


@pytest.mark.parametrize(
    ("path", "given", "name"),
    [
        ("query", {}, "query"),
        ("query", {"query": "1", "extra_label": "tenant=b"}, "extra_label"),
        ("query", {"query": "1", "extra_filters[]": "{}"}, "extra_filters[]"),
        ("query", {"query": "1", "extra_filters": "{}"}, "extra_filters"),
        ("query", {"query": "1", "nocache": "1"}, "nocache"),
        ("query", {"query": "1", "trace": "1"}, "trace"),
        ("query", {"query": ["1", "2"]}, "query"),
        ("query", {"query": "1", "time": "yesterday"}, "time"),
        ("query", {"query": "1", "time": "1e99"}, "time"),
        ("query", {"query": "x" * 17_000}, "query"),
        ("query_range", {"query": "1", "start": "1", "end": "2"}, "step"),
        ("query_range", {"query": "1", "start": "2", "end": "1", "step": "1"}, "end"),
        ("query_range", {"query": "1", "start": "0", "end": "90000", "step": "1"}, "step"),
        ("query_range", {"query": "1", "start": "0", "end": "9", "step": "0"}, "step"),
        ("query_range", {"query": "1", "start": "0", "end": "9", "step": "-5"}, "step"),
        ("series", {}, "match[]"),
        ("series", {"match[]": ["a"] * 17}, "match[]"),
        ("labels", {"limit": "-1"}, "limit"),
        ("label/a-b/values", {}, "name"),
        ("label/__graphite__/values", {}, "name"),
        ("metadata", {"metrics": "x"}, "metrics"),
        ("status/buildinfo", {"x": "1"}, "x"),
    ],
)
async def test_a_wrong_parameter_is_named(metrics: RunningService, path: str, given: dict[str, Any], name: str) -> None:
    status, found = await ask(metrics, "default", path, given)
    assert (status, found["status"], found["errorType"]) == (400, "error", "bad_data")
    assert found["error"].startswith(f"{name} "), found


@pytest.mark.parametrize(
    "path",
    ["export", "import", "admin/tsdb/delete_series", "status/tsdb", "query_exemplars", "rules", "alerts", "targets",
     "label/type/values/../../../export", "../../../internal/force_flush", "%2e%2e/federate"],
)  # fmt: skip
async def test_other_paths_do_not_exist(metrics: RunningService, path: str) -> None:
    for method in ("GET", "POST"):
        status, found = await ask(metrics, "default", path, {"match[]": '{__name__!=""}'}, method)
        assert (status, found["status"]) == (404, "error")


INTERNALS = ("-search.", "http:", "127.0.0.1", "extra_filters", ".go", "executing")


async def test_an_invalid_query_is_refused_with_its_reason_and_without_internals(
    metrics: RunningService, tenant: str
) -> None:
    reasons = {
        "sent_total{": "unexpected token",
        "nothing(sent_total)": 'unknown func "nothing"',
        "sum(": "",
        'sent_total + on(type) group_left() (sent_total or label_set(sent_total, "b", "1"))': "several series",
        '{tenant="a" or tenant="b"}': "unexpected token",
        "sent_total[1000y:1ms]": "",
        "quantile(sent_total)": "",
    }
    for query, reason in reasons.items():
        status, found = await ask(metrics, tenant, "query", {"query": query, "time": END})
        assert status in (422, 503), (query, found)
        assert reason in found["error"], (query, found)
        assert not [word for word in INTERNALS if word in found["error"]], found


async def test_the_requests_of_grafana_are_answered(metrics: RunningService, tenant: str) -> None:
    """As its Prometheus data source sends them: check of health, versions, metric browser, variables, panels."""
    span = {"start": str(START), "end": str(END)}
    for method, path, form in (
        ("POST", "query", {"query": "1+1", "time": "4"}),
        ("GET", "status/buildinfo", {}),
        ("GET", "metadata", {"limit": "40000"}),
        ("GET", "metadata", {"limit_per_metric": "1"}),
        ("POST", "labels", span),
        ("GET", "label/__name__/values", span),
        ("GET", "label/type/values", span | {"match[]": 'sent_total{type!=""}', "limit": "40000"}),
        ("GET", "series", span | {"match[]": '{__name__="sent_total"}'}),
        ("POST", "series", span | {"match[]": "sent_total", "limit": "40000"}),
        ("POST", "query_range", span | {"query": "sum by(type) (rate(sent_total[4m0s]))", "step": "15"}),
        ("GET", "query_range", {"query": "sent_total", "start": str(START), "end": f"{END}.123", "step": "15.5"}),
        ("POST", "query", {"query": "topk(5, sent_total)", "time": f"{END}.999"}),
    ):
        status, found = await ask(metrics, tenant, path, form, method)
        assert (status, found["status"]) == (200, "success"), (path, form, found)


async def test_the_last_point_of_a_chart_is_of_now(metrics: RunningService, engine: str) -> None:
    """And the line has no gap after changes that were closer to each other than a minute."""
    own, now = new_tenant(), time.time()
    ages = {50: 1, 49: 2, 48: 3, 47: 4, 46: 5, 1: 6}
    document = {
        "metric": {"__name__": "users", "tenant": own},
        "values": list(ages.values()),
        "timestamps": [int((now - age) * 1000) for age in ages],
    }
    await client(metrics).write(json.dumps(document).encode())

    async def values(end: float) -> list[str]:
        form = {"query": "users", "start": f"{end - 40:.3f}", "end": f"{end:.3f}", "step": "10"}
        result = (await ask(metrics, own, "query_range", form))[1]["data"]["result"]
        return [value for _, value in result[0]["values"]] if result else []

    async def is_visible() -> bool:
        result = (await ask(metrics, own, "query", {"query": "users"}))[1]["data"]["result"]
        return bool(result) and result[0]["value"][1] == "6"

    await eventually(is_visible, "the samples are visible")
    found = await values(time.time())
    assert (len(found), found[-1]) == (5, "6"), found


async def test_a_request_needs_a_token_with_the_scope(metrics: RunningService) -> None:
    assert (await metrics.client.get(f"{API}/labels")).status_code == 401
    wrong = metrics.tokens.headers("default", ["metrics:write"])
    assert (await metrics.client.get(f"{API}/labels", headers=wrong)).status_code == 403


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"metrics_engine_url": None}, "set QUARTET_METRICS_ENGINE_URL"),
        ({"metrics_engine_url": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"metrics_engine_user": "someone"}, "check QUARTET_METRICS_ENGINE_USER and _PASSWORD"),
    ],
)
async def test_without_an_engine_only_this_api_is_unavailable(
    metrics: RunningService, engine: str, changed: dict[str, Any], problem: str
) -> None:
    config = metrics.container.config
    metrics.container.config = config.model_copy(update=changed)
    provided: dict[Any, Any] = metrics.app.extensions
    kept = provided[PrometheusQueries]
    try:
        provided[PrometheusQueries] = PrometheusQueries(metrics.container)
        headers = metrics.tokens.headers("default", ["metrics:read"])
        response = await metrics.client.get(f"{API}/labels", headers=headers)
        found = json.loads(await response.get_data())
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert found["code"] == "engine_unavailable"
        assert problem in found["error"]
        assert (await metrics.client.get("/metrics/query?metric=events", headers=headers)).status_code == 200
        assert (await metrics.client.get("/metrics/health/ready")).status_code == 200
    finally:
        metrics.container.config = config
        provided[PrometheusQueries] = kept


async def test_an_engine_that_ignores_filters_is_not_used(metrics: RunningService) -> None:
    """As a Prometheus would: it answers, with the samples of all tenants."""
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"status": "success", "data": ["secret"]})

    engine = EngineClient(
        metrics.container.config.model_copy(update={"metrics_engine_url": "http://engine"}),
        lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer)),
    )
    with pytest.raises(Exception, match="does not enforce"):
        await engine.ask("labels", {}, "default")
    assert len(asked) == 1
