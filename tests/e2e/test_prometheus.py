"""promtool and Grafana read a tenant's metrics by the id and secret of an API client."""

import asyncio
import shutil
import time
from typing import Any

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import Api, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack


async def promtool(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        "promtool", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def credentials_of(stack: Stack, token_for: TokenFor) -> tuple[str, str]:
    """The id and secret of an API client that may read metrics, of a new tenant with one user."""
    if "victoria-metrics" not in stack.programs:
        pytest.skip("victoria-metrics is not installed")
    async with Api(stack.url, await token_for(new_tenant())) as api:
        await api.create_user()
        made = await api.post("/users/clients", json={"name": "grafana", "scopes": ["metrics:read"]})
        assert made.status_code == 201, made.text
    return made.json()["client_id"], made.json()["client_secret"]


async def test_grafana_draws_what_a_tenant_has(stack: Stack, token_for: TokenFor) -> None:
    """The requests of its Prometheus data source: Save & test, the metric browser, a variable, and a panel."""
    credentials = await credentials_of(stack, token_for)
    headers = {"User-Agent": "Grafana/10.4.2", "X-Grafana-Org-Id": "1", "Accept-Encoding": "gzip"}
    base = f"{stack.url}/metrics/prometheus/api/v1"
    async with httpx.AsyncClient(auth=credentials, headers=headers, timeout=30) as grafana:

        async def ask(method: str, path: str, **sent: dict[str, str]) -> Any:
            response = await grafana.request(method, f"{base}/{path}", **sent)  # type: ignore[arg-type]  # params or data
            assert (response.status_code, response.json()["status"]) == (200, "success"), response.text
            return response.json()["data"]

        async def is_counted() -> bool:
            return bool((await ask("POST", "query", data={"query": "quartet_users"}))["result"])

        health = await ask("POST", "query", data={"query": "1+1", "time": "4"})
        assert health["result"][0]["value"][1] == "2"
        assert (await ask("GET", "status/buildinfo"))["version"] == "2.24.0"
        await eventually(is_counted, "the user in PromQL")
        now = int(time.time())
        span = {"start": str(now - 3600), "end": str(now + 5)}
        metadata = await ask("GET", "metadata", params={"limit": "40000"})
        assert metadata["quartet_users"][0]["type"] == "gauge"
        names = await ask("GET", "label/__name__/values", params=span)
        assert "quartet_users" in names
        assert set(names) <= metadata.keys()
        assert "state" in await ask("POST", "labels", data=span | {"match[]": "quartet_users"})
        states = await ask("GET", "label/state/values", params=span | {"match[]": 'quartet_users{state!=""}'})
        assert states == ["active"]
        labels = await ask("POST", "series", data=span | {"match[]": '{__name__="quartet_users"}', "limit": "40000"})
        assert labels == [{"__name__": "quartet_users", "state": "active"}]

        async def is_drawn() -> bool:
            """The last point of the panel is at the second in which it is asked for."""
            now = int(time.time())
            span = {"start": str(now - 3600), "end": str(now), "step": "15"}
            panel = await ask("POST", "query_range", data=span | {"query": "sum by (state) (quartet_users)"})
            [series] = panel["result"] or [None]
            return series is not None and (series["metric"], series["values"][-1][1]) == ({"state": "active"}, "1")

        await eventually(is_drawn, "the user in the panel")
        refused = await grafana.post(f"{base}/query", data={"query": "1+1"}, auth=(credentials[0], "wrong"))
        assert (refused.status_code, refused.json()["status"]) == (401, "error")


async def test_promtool_reads_what_a_tenant_has(stack: Stack, token_for: TokenFor) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    client_id, secret = await credentials_of(stack, token_for)
    address = stack.url.removeprefix("http://")
    url, query = f"http://{client_id}:{secret}@{address}/metrics/prometheus", 'quartet_users{state="active"}'

    async def counted() -> bool:
        return (await promtool("query", "instant", url, query))[1].startswith('quartet_users{state="active"} => 1 @')

    await eventually(counted, "the user in PromQL")
    now = int(time.time())
    span = [f"--start={now - 300}", f"--end={now + 5}"]
    status, output = await promtool("query", "range", *span, "--step=1s", url, query)
    assert (status, '{state="active"}' in output) == (0, True), output
    status, output = await promtool("query", "series", "--match=quartet_users", *span, url)
    assert (status, output.strip()) == (0, '{__name__="quartet_users", state="active"}')
    status, output = await promtool("query", "labels", *span, url, "state")
    assert (status, output.strip()) == (0, "active")
    status, output = await promtool("query", "instant", f"http://{client_id}:wrong@{address}/metrics/prometheus", "1")
    assert status == 1
    assert "401" in output
