"""The engine of metrics: a private VictoriaMetrics, which evaluates PromQL; PostgreSQL holds the figures."""

from pathlib import Path

from quartet_cli.health import http_ready
from quartet_cli.layout import Home
from quartet_cli.ports import HOST
from quartet_cli.programs import Program

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
)


def program(home: Home, binary: Path, port: int, retention: str) -> Program:
    """VictoriaMetrics in the foreground. The password is in the environment: all users can read command lines."""
    url = f"http://{HOST}:{port}"
    storage = (f"-storageDataPath={home.data / NAME}", f"-retentionPeriod={retention}")
    return Program(
        name=NAME,
        command=(str(binary), f"-httpListenAddr={HOST}:{port}", *storage, *FLAGS, "-envflag.enable"),
        directory=home.data / NAME,
        url=url,
        environment={"httpAuth_username": USER, "httpAuth_password": _password(home)},
        check=lambda: http_ready(f"{url}/health"),
    )


def _password(home: Home) -> str:
    """The password; none before the first start has made the secrets."""
    file = home.secrets / NAME / "password"
    return file.read_text() if file.exists() else ""
