"""What the engine reads: the private port of each process, and the numbers of the servers."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it says nothing of its types

from quartet_cli import binaries
from quartet_cli.layout import CHECKOUT, SERVICES, Home
from quartet_cli.servers import victoria_metrics
from quartet_cli.state import port_names

PORTS = {name: 20000 + index for index, name in enumerate(port_names(SERVICES))}
SERVERS = {"rabbitmq": "rabbitmq-metrics", "redis": "redis-exporter"}
Job = dict[str, Any]
IN_CONTAINERS = CHECKOUT / "deploy/observability/prometheus.yaml"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path)
    found.prepare()
    (found.data / victoria_metrics.NAME).mkdir()
    victoria_metrics.prepare(found, PORTS, SERVICES, SERVERS)
    return found


def test_each_process_is_read_at_its_private_port_with_the_token(home: Home) -> None:
    [job] = [one for one in jobs(home) if one["job_name"] == "quartet"]
    assert job["authorization"] == {"credentials_file": str(home.secrets / "prometheus/token")}
    read = {(one["labels"]["service"], one["labels"]["process"]): one["targets"] for one in job["static_configs"]}
    assert read == {
        (service, process): [f"127.0.0.1:{PORTS[f'{service}-{process}-private']}"]
        for service in SERVICES
        for process in ("api", "worker")
    }


def test_each_of_several_processes_is_read(tmp_path: Path) -> None:
    found = Home(tmp_path)
    found.prepare()
    (found.data / victoria_metrics.NAME).mkdir()
    several = {name: 20000 + n for n, name in enumerate(port_names(("users",), {"QUARTET_PROCESSES_USERS": "3"}))}
    victoria_metrics.prepare(found, several, ("users",), {})
    [job] = jobs(found)
    read = [one["targets"][0] for one in job["static_configs"] if one["labels"]["process"] == "worker"]
    assert read == [f"127.0.0.1:{several[f'users-worker-{number}-private']}" for number in (1, 2, 3)]


def test_servers_are_read_without_the_token(home: Home) -> None:
    others = {one["job_name"]: one for one in jobs(home) if one["job_name"] != "quartet"}
    assert {name: one["static_configs"][0]["targets"] for name, one in others.items()} == {
        name: [f"127.0.0.1:{PORTS[port]}"] for name, port in SERVERS.items()
    }
    assert not [one for one in others.values() if "authorization" in one]


def test_all_that_is_read_is_of_the_tenant_of_the_platform(home: Home) -> None:
    in_containers = yaml.safe_load(IN_CONTAINERS.read_text())["scrape_configs"]
    for job in (*jobs(home), *in_containers):
        assert job["relabel_configs"][-1] == {"target_label": "tenant", "replacement": "quartet"}
        assert not job.get("honor_labels")


def test_containers_are_read_as_the_native_stack_is(home: Home) -> None:
    in_containers = yaml.safe_load(IN_CONTAINERS.read_text())["scrape_configs"]
    [native] = [one for one in jobs(home) if one["job_name"] == "quartet"]
    [by_name] = [one for one in in_containers if one["job_name"] == "quartet"]
    processes = {f"{one['labels']['service']}-{one['labels']['process']}" for one in native["static_configs"]}
    assert set(by_name["dns_sd_configs"][0]["names"]) == processes
    assert {one["job_name"] for one in in_containers} == {"quartet", "rabbitmq", "nginx", "postgresql", "redis"}


@pytest.mark.parametrize("is_native", [True, False])
def test_the_engine_accepts_the_configuration(home: Home, is_native: bool) -> None:
    engine = binaries.find().victoria_metrics
    if engine is None:
        pytest.skip("victoria-metrics is not installed")
    file = home.run / "scrape.json" if is_native else IN_CONTAINERS
    command = [str(engine), f"-promscrape.config={file}", "-promscrape.config.dryRun", "-loggerLevel=ERROR"]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def jobs(home: Home) -> list[Job]:
    found: list[Job] = json.loads((home.run / "scrape.json").read_text())["scrape_configs"]
    return found
