"""The engine of metrics: a private VictoriaMetrics, which evaluates PromQL; PostgreSQL holds the figures.

It also reads the numbers of the processes and servers of the stack.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from quartet_cli import instances
from quartet_cli.health import http_ready
from quartet_cli.layout import Home
from quartet_cli.ports import HOST
from quartet_cli.programs import Program
from quartet_cli.servers.files import write_private

NAME = "victoria-metrics"
USER = "quartet"
FLAGS = (
    "-dedup.minScrapeInterval=1ms",  # a sample that is written again counts once
    "-search.latencyOffset=0s",  # otherwise the samples of the last 30 s are hidden
    "-search.maxStepForPointsAdjustment=0s",  # otherwise the last point of a range repeats the one before
    "-search.minStalenessInterval=5m",  # as in Prometheus: samples are irregular, and charts would have gaps
    "-search.maxQueryDuration=10s",
    "-search.maxConcurrentRequests=4",
    "-search.maxUniqueTimeseries=100000",
    "-memory.allowedBytes=32MB",
    "-loggerLevel=WARN",
    "-promscrape.suppressScrapeErrors",  # a process that is down is seen in the metric up
)
SCRAPE_FILE = "scrape.json"
INTERVAL = "15s"
TENANT = [{"target_label": "tenant", "replacement": "quartet"}]
"""The tenant of all that is read: only the platform's operators see it. It replaces a label of the process."""
UNUSED = [
    {"action": "labeldrop", "regex": "otel_scope_(schema_url|version)"},
    {"action": "drop", "source_labels": ["__name__"], "regex": "erlang_vm_(allocators|msacc_.*)|erlang_mnesia_.*"},
]


def program(home: Home, binary: Path, port: int, retention: str) -> Program:
    """VictoriaMetrics in the foreground. The password is in the environment: all users can read command lines."""
    url = f"http://{HOST}:{port}"
    storage = (f"-storageDataPath={home.data / NAME}", f"-retentionPeriod={retention}")
    return Program(
        name=NAME,
        command=(
            str(binary),
            f"-httpListenAddr={HOST}:{port}",
            f"-promscrape.config={home.run / SCRAPE_FILE}",
            *storage,
            *FLAGS,
            "-envflag.enable",
        ),
        directory=home.data / NAME,
        url=url,
        environment={"httpAuth_username": USER, "httpAuth_password": _password(home)},
        check=lambda: http_ready(f"{url}/health"),
    )


def prepare(home: Home, ports: Mapping[str, int], services: Sequence[str], servers: Mapping[str, str]) -> None:
    """Write what is read, and how: all processes of `services` and `servers` (names of jobs, each with that of its
    port).
    """
    processes = [
        _target(ports[f"{name}-private"], service=service, process=process)
        for service in services
        for process in instances.PROCESSES
        for name in instances.of(ports, service, process)
    ]
    token = {"credentials_file": str(home.secrets / "prometheus/token")}
    jobs = [_job("quartet", processes) | {"authorization": token}]
    jobs += [_job(name, [_target(ports[port])]) for name, port in servers.items()]
    text = json.dumps({"global": {"scrape_interval": INTERVAL}, "scrape_configs": jobs}, indent=1)  # JSON is YAML
    write_private(home.run / SCRAPE_FILE, f"{text}\n", owner_of=home.data / NAME)


def _job(name: str, targets: Sequence[Mapping[str, object]]) -> dict[str, object]:
    relabel = {"relabel_configs": TENANT, "metric_relabel_configs": UNUSED}
    return {"job_name": name, "static_configs": list(targets), **relabel}


def _target(port: int, **labels: str) -> dict[str, object]:
    return {"targets": [f"{HOST}:{port}"], "labels": labels}


def _password(home: Home) -> str:
    """The password; none before the first start has made the secrets."""
    file = home.secrets / NAME / "password"
    return file.read_text() if file.exists() else ""
