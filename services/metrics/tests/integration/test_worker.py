"""The real worker process: what its private port shows, and that it ends in order."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prometheus_client.parser import text_string_to_metric_families

from quartet_cli.stack import Stack
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant


@asynccontextmanager
async def worker(servers: Stack) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """`python -m quartet_metrics worker` and a client of its private port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "quartet_metrics", "worker", env=servers.environment("metrics", "worker")
    )
    url = f"http://127.0.0.1:{servers.state.ports['metrics-worker-private']}"
    bearer = {"Authorization": f"Bearer {(servers.home.secrets / 'prometheus/token').read_text()}"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=bearer, trust_env=False) as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def numbers(client: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    """The Prometheus samples, by name and label `result`."""
    families = text_string_to_metric_families((await client.get("/metrics")).text)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, sample.labels.get("result", "")): sample.value for sample in samples}


async def test_the_private_port_of_a_worker_shows_its_consumer_and_its_outbox(
    metrics: RunningService, servers: Stack
) -> None:
    tenant = new_tenant()
    async with worker(servers) as (process, client):

        async def ready() -> bool:
            try:
                return (await client.get("/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(ready, "the worker is ready")
        # a refused request goes all the way: outbox, relay, RabbitMQ, consumer, count
        refused = await metrics.client.get("/metrics/catalog", headers=metrics.tokens.headers(tenant, []))
        assert refused.status_code == 403

        async def counted() -> bool:
            question = "/metrics/query?metric=refusals&by=type"
            response = await metrics.client.get(question, headers=metrics.tokens.headers(tenant, ["metrics:read"]))
            series = (await response.get_json())["series"]
            return [item["key"] for item in series] == ["metrics.request.refused"]

        await eventually(counted, "the refusal is counted")

        async def shown() -> bool:
            found = await numbers(client)
            assert found["quartet_outbox_depth", ""] >= 0
            assert found["quartet_outbox_lag_seconds", ""] >= 0
            return {
                ("quartet_consumer_events_total", "handled"),
                ("quartet_consumer_age_seconds_count", ""),
                ("quartet_outbox_published_total", ""),
            } <= {name for name, value in found.items() if value >= 1}

        await eventually(shown, "the private port shows what went through")
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0
