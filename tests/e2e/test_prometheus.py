"""promtool reads a tenant's metrics by the id and secret of an API client."""

import asyncio
import shutil
import time

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


async def test_promtool_reads_what_a_tenant_has(stack: Stack, token_for: TokenFor) -> None:
    if shutil.which("promtool") is None or "victoria-metrics" not in stack.programs:
        pytest.skip("promtool or victoria-metrics is not installed")
    tenant = new_tenant()
    async with Api(stack.url, await token_for(tenant)) as api:
        await api.create_user()
        made = await api.post("/users/clients", json={"name": "grafana", "scopes": ["metrics:read"]})
        assert made.status_code == 201, made.text
    client_id, secret = made.json()["client_id"], made.json()["client_secret"]
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
