"""The private port of a fresh process: what it shows, and to whom."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from quartet_common.runtime.metrics_port import PrivateApp
from quartet_common.runtime.readiness import Readiness

DASHBOARDS = Path(__file__).parents[4] / "deploy/observability/grafana/dashboards"
FRESH = """
import sys
from prometheus_client import REGISTRY, generate_latest
from quartet_common.config.settings import ServiceConfig
from quartet_common.limits.limiter import Limiter
from quartet_common.messaging.stats import ConsumerStats, OutboxStats
from quartet_serving.request_metrics import Measured
from quartet_common.telemetry.opentelemetry_setup import start_telemetry
config = ServiceConfig(**eval(sys.argv[1]))
start_telemetry(config, "worker")
kept = [OutboxStats(), ConsumerStats(), Limiter(config, lambda: None), Measured(None, "health")]
print(generate_latest(REGISTRY).decode())
"""
SETTINGS = {
    "database_url": "postgresql://x", "database_password": "x", "redis_url": "redis://x", "redis_password": "x",
    "broker_url": "amqp://x", "broker_password": "x", "users_url": "x", "client_secret": "x",
}  # fmt: skip


@pytest.fixture(scope="module")
def fresh() -> str:
    """The Prometheus text of a process that has done nothing yet."""
    command = [sys.executable, "-c", FRESH, repr(SETTINGS)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("result", ["handled", "duplicate", "delayed", "dead"])
def test_what_may_become_of_messages_is_counted_from_0(fresh: str, result: str) -> None:
    assert re.search(rf'^quartet_consumer_events_total{{.*result="{result}".*}} 0\.0$', fresh, re.MULTILINE)


@pytest.mark.parametrize("limit", ["client", "user", "address", "refused"])
def test_refusals_of_each_limit_are_counted_from_0(fresh: str, limit: str) -> None:
    assert re.search(rf'^quartet_limits_refused_total{{.*limit="{limit}".*}} 0\.0$', fresh, re.MULTILINE)


@pytest.mark.parametrize("name", ["outbox_published", "outbox_failed", "limits_unshared"])
def test_other_counts_start_at_0(fresh: str, name: str) -> None:
    assert re.search(rf"^quartet_{name}_total{{.*}} 0\.0$", fresh, re.MULTILINE)


@pytest.mark.parametrize("status", ["500", "503"])
def test_errors_are_counted_from_0(fresh: str, status: str) -> None:
    found = re.findall(
        rf'^http_server_request_duration_seconds_count{{.*http_response_status_code="{status}".*}} 0\.0$',
        fresh,
        re.MULTILINE,
    )
    assert len(found) == 4  # GET and POST, with TLS and without


def test_every_counter_of_the_messaging_dashboard_is_there(fresh: str) -> None:
    named = set(re.findall(r"quartet_\w+_total", json.dumps(json.loads((DASHBOARDS / "messaging.json").read_text()))))
    assert len(named) >= 3
    assert [name for name in named if f"\n{name}{{" not in fresh] == []


def connect(token: str = "") -> httpx.AsyncClient:
    """A client of the private port of a process."""
    app = PrivateApp(Readiness({}, asyncio.Event()), token)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_numbers_are_shown_to_whoever_has_the_token_and_health_to_everybody() -> None:
    async with connect("the token") as client:
        for wrong in (b"", b"Bearer other", b"Basic the token", "Bearer ü".encode(), b"Bearer the token "):
            answer = await client.get("/metrics", headers={b"Authorization": wrong} if wrong else {})
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "# HELP" not in answer.text
        answer = await client.get("/metrics", headers={"Authorization": "Bearer the token"})
        assert (answer.status_code, "# HELP" in answer.text) == (200, True)
        assert [(await client.get(f"/health/{one}")).status_code for one in ("live", "ready")] == [200, 200]


async def test_without_a_token_in_the_configuration_numbers_are_shown_to_everybody() -> None:
    async with connect() as client:
        assert (await client.get("/metrics")).status_code == 200


async def test_other_paths_and_methods_are_refused() -> None:
    async with connect() as client:
        assert (await client.get("/metrics/")).status_code == 404
        refused = await client.post("/health/live")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
        head = await client.head("/health/live")
        assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", "17")


def test_a_worker_loads_no_web_framework() -> None:
    found = "import sys, quartet_common.runtime.process; print(*{one.partition('.')[0] for one in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", found], check=True, capture_output=True, text=True).stdout.split()
    assert "asyncpg" in loaded
    assert not {"quart", "flask", "werkzeug", "jinja2", "hypercorn"} & set(loaded)
