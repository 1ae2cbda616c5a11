"""The numbers of processes and servers: listed in the docs, read by the engine for operators only, and drawn."""

import asyncio
import json
import math
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it says nothing of its types
from prometheus_client.parser import text_string_to_metric_families

from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_cli.stack import Stack
from quartet_metrics.series.catalog_domain import METRICS
from quartet_testing.client import Api, TokenFor, patch_document
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

API = "/metrics/prometheus/api/v1"
OPERATIONS = CHECKOUT / "docs/operations.md"
OBSERVABILITY = CHECKOUT / "deploy/observability"
RULES = OBSERVABILITY / "rules.yaml"
DASHBOARDS = sorted((OBSERVABILITY / "grafana").glob("*/*.json"))
OPERATOR = "quartet"
JOBS = {"quartet", "rabbitmq", "nginx", "postgresql", "redis"}
RARE = {
    # exist from the first event of their kind on, or with a setting
    "quartet_audit_checkpoints_refused_total",
    "quartet_audit_witness_answers_total",
    "quartet_audit_webhook_posts_total",
    "quartet_audit_stream_batches_total",
    "quartet_audit_stream_entries_total",
    "quartet_audit_streams_paused_total",
    "http_client_request_duration_seconds",
    "quartet_certificate_expiry_timestamp_seconds",  # with TLS
}
PASSWORD = "correct horse battery staple"  # of users of these tests
VARIABLES = {"$__rate_interval": "1m", "$__interval": "1m", "$service": ".*"}
SERVER_ERRORS, CLIENT_ERRORS = '"5.."', '"4.."'
"""A stack that works has no server errors: those of clients take their place."""
NOT_NAMES = re.compile(r"\{[^}]*}|\[[^]]*]|\bby \([^)]*\)|\b(or|bool|offset)\b")
NAME = re.compile(r"\b[a-z][a-z0-9_]*\b(?! *\()")
"""The name of a metric: a word that is no function."""


@pytest.fixture(scope="module")
def engine(stack: Stack) -> Iterator[Stack]:
    """The stack, whose engine reads each second."""
    if "redis-exporter" not in stack.programs or "postgres-exporter" not in stack.programs:
        pytest.skip("victoria-metrics or an exporter is not installed")
    file = stack.home.run / "scrape.json"
    before = file.read_text()
    file.write_text(before.replace('"scrape_interval": "15s"', '"scrape_interval": "1s"'))
    stack.kill("victoria-metrics", "HUP")
    yield stack
    file.write_text(before)
    stack.kill("victoria-metrics", "HUP")


@pytest.fixture
async def operator(engine: Stack, token_for: TokenFor) -> Any:
    async with Api(engine.url, await token_for(OPERATOR, "metrics:read")) as api:
        yield api


async def ask(api: httpx.AsyncClient, path: str, **form: Any) -> Any:
    is_get = path.startswith("label/")
    response = await (api.get(f"{API}/{path}", params=form) if is_get else api.post(f"{API}/{path}", data=form))
    assert response.status_code == 200, (form, response.text)
    return response.json()["data"]


async def values(api: httpx.AsyncClient, query: str) -> list[tuple[Mapping[str, str], float]]:
    """The result of an instant query."""
    found = await ask(api, "query", query=query)
    return [(one["metric"], float(one["value"][1])) for one in found["result"]]


def listed() -> dict[str, str]:
    """The metrics of the table in docs/operations.md, with their units."""
    section = OPERATIONS.read_text().partition("### Metrics of processes")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("| `"): row[1] for row in rows}


def exposed(stack: Stack) -> dict[str, str]:
    """The metrics of all private ports, with their types."""
    bearer = {"Authorization": f"Bearer {(stack.home.secrets / 'prometheus/token').read_text()}"}
    found: dict[str, str] = {}
    for service in SERVICES:
        for process in ("api", "worker"):
            port = stack.state.ports[f"{service}-{process}-private"]
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=bearer, trust_env=False).text
            for family in text_string_to_metric_families(text):
                found[f"{family.name}_total" if family.type == "counter" else family.name] = family.type
    return found


async def work(api: Api, tenant: str, user: Mapping[str, Any], group: str) -> None:
    """Requests of a tenant that make its numbers and those of the processes move."""
    other = (await api.create_user())["id"]
    add = patch_document({"op": "add", "path": "members", "value": [{"value": other}]})
    assert (await api.patch(f"/scim/v2/Groups/{group}", json=add)).is_success
    assert (await api.get(f"/groups/check?user={user['id']}&group={group}")).is_success
    assert (await api.delete(f"/scim/v2/Users/{other}")).is_success
    for password, status in ((PASSWORD, 200), ("wrong", 401)):
        body = {"tenant": tenant, "user_name": user["userName"], "password": password}
        answer = await api.post("/users/login", json=body, headers={"Authorization": ""})
        assert answer.status_code == status, answer.text


@asynccontextmanager
async def busy(stack: Stack, token_for: TokenFor, tenant: str) -> AsyncIterator[None]:
    """Has `tenant` work until the end."""
    token, weak = await token_for(tenant), {"Authorization": f"Bearer {await token_for(tenant, 'audit:read')}"}
    async with Api(stack.url, token) as api:
        user = await api.create_user(password=PASSWORD)
        group = (await api.create_group([user["id"]]))["id"]

        async def go_on() -> None:
            while True:
                await work(api, tenant, user, group)
                assert (await api.get("/scim/v2/Users", headers=weak)).status_code == 403
                await asyncio.sleep(0.2)

        working = asyncio.ensure_future(go_on())
        try:
            yield
        finally:
            assert not working.done(), working.exception()
            working.cancel()


async def test_the_docs_list_exactly_the_metrics_that_processes_have(stack: Stack, token_for: TokenFor) -> None:
    async def are_all_there() -> bool:
        assert {*listed()} - {*exposed(stack)} <= RARE
        return True

    async with busy(stack, token_for, new_tenant()):
        await eventually(are_all_there, "all metrics of the docs")
        assert {*exposed(stack)} <= {*listed()}


def test_names_of_processes_and_of_tenants_differ() -> None:
    """The engine has both for the tenant quartet, and the worker deletes series of tenants by name."""
    assert not {*listed()} & {*METRICS}


def test_metrics_have_base_units(stack: Stack) -> None:
    wrong = [name for name in exposed(stack) if re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", name)]
    assert wrong == []
    for name, unit in listed().items():
        assert (unit == "seconds") == name.removesuffix("_total").endswith("_seconds"), name
        assert (unit == "bytes") == name.endswith("_bytes"), name


async def test_the_engine_reads_all_processes_and_servers_for_operators_only(
    engine: Stack, operator: Api, token_for: TokenFor
) -> None:
    async def all_up() -> bool:
        found = await values(operator, "up == 1")
        processes = {(one["service"], one["process"]) for one, _ in found if one["job"] == "quartet"}
        return {one["job"] for one, _ in found} == JOBS and len(processes) == 2 * len(SERVICES)

    await eventually(all_up, "all processes and servers are read")
    shown = await ask(operator, "label/__name__/values")
    assert {"quartet_outbox_depth", "pg_up", "redis_up", "rabbitmq_connections", "nginx_connections_active"} <= {*shown}
    assert not [name for name in shown if name.startswith(("erlang_mnesia", "erlang_vm_msacc"))]
    assert "tenant" not in await ask(operator, "labels")
    tenant = new_tenant()
    async with Api(engine.url, await token_for(tenant, "metrics:read")) as api:
        assert await values(api, '{job=~".+"}') == []
        assert await values(api, "up or quartet_outbox_depth or pg_up or redis_up") == []
        assert await ask(api, "label/job/values") == []
        assert await ask(api, "series", **{"match[]": "up"}) == []


async def test_a_process_that_claims_another_tenant_is_not_believed(engine: Stack, operator: Api) -> None:
    """A label `tenant` of a process does not become that of the series."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'claimed{tenant="acme"} 1\n'
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    file = engine.home.run / "scrape.json"
    before = file.read_text()
    config = json.loads(before)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        redis = next(job for job in config["scrape_configs"] if job["job_name"] == "redis")
        redis["static_configs"].append({"targets": [f"127.0.0.1:{port}"]})
        file.write_text(json.dumps(config))
        engine.kill("victoria-metrics", "HUP")

        async def is_shown() -> bool:
            return [one["exported_tenant"] for one, _ in await values(operator, "claimed")] == ["acme"]

        await eventually(is_shown, "the claim is a label of its own")
        file.write_text(before)
        engine.kill("victoria-metrics", "HUP")


def queries(file: Path) -> list[tuple[str, str]]:
    """The queries of a dashboard, with the titles of their panels."""
    panels = json.loads(file.read_text())["panels"]
    found = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
    assert len(found) >= 15
    return found


def filled(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query.replace(SERVER_ERRORS, CLIENT_ERRORS)


def names_of(query: str) -> set[str]:
    """The metrics that a query names."""
    return {*NAME.findall(NOT_NAMES.sub(" ", query))}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported(file: Path) -> None:
    """Grafana asks for the data source, and no panel names another one."""
    document = json.loads(file.read_text())
    assert document["schemaVersion"] >= 39
    assert re.fullmatch(r"quartet-[a-z-]{1,32}", document["uid"])
    [source] = [one for one in document["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["query"]) == ("datasource", "prometheus")
    uids = re.findall(r'"uid": "([^"]*)"', file.read_text().replace("\n", " "))
    assert {*uids} == {document["uid"], "${datasource}"}
    ids = [panel["id"] for panel in document["panels"]]
    assert len({*ids}) == len(ids)
    for panel in document["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    assert set(re.findall(r"\$\w+", " ".join(query for _, query in queries(file)))) <= {*VARIABLES}


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda path: path.stem)
async def test_each_query_of_a_dashboard_has_data(file: Path, engine: Stack, token_for: TokenFor) -> None:
    tenant = new_tenant()
    asking = tenant if file.stem == "tenant" else OPERATOR
    async with busy(engine, token_for, tenant), Api(engine.url, await token_for(asking, "metrics:read")) as api:
        for title, query in queries(file):

            async def has_data(asked: str = filled(query)) -> bool:
                return any(not math.isnan(value) for _, value in await values(api, asked))  # not only NaN

            await eventually(has_data, f"data of {title}: {query}")
        shown = {*await ask(api, "label/__name__/values")}
        for title, query in queries(file):
            assert names_of(filled(query)), (title, query)
            assert names_of(filled(query)) <= shown, (title, query)


async def test_each_rule_compares_what_has_data(engine: Stack, token_for: TokenFor) -> None:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    compared = [re.fullmatch(r"(.+) (?:==|>|<) [0-9.]+", rule["expr"]) for rule in group["rules"]]
    async with busy(engine, token_for, new_tenant()), Api(engine.url, await token_for(OPERATOR, "metrics:read")) as api:
        for match in compared:
            assert match is not None

            async def has_data(query: str = filled(match[1])) -> bool:
                return any(not math.isnan(value) for _, value in await values(api, query))

            await eventually(has_data, f"data of {match[1]}")
            names = names_of(match[1])
            assert names
            assert names <= {*await ask(api, "label/__name__/values")}


def test_promtool_accepts_the_rules() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    command = ["promtool", "check", "rules", str(RULES)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
