"""Finds the programs of the servers, in PATH or in their usual folders."""

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from quartet_cli.errors import QuartetError


@dataclass(frozen=True)
class Binaries:
    """Absolute paths of the programs that a stack starts; `postgres` is the folder with initdb, postgres and psql.

    A stack without `victoria_metrics` has no engine for PromQL, one without an exporter no numbers of its server in the
    engine, and all else works.
    """

    postgres: Path
    redis: Path
    rabbitmq: Path
    epmd: Path
    nginx: Path
    victoria_metrics: Path | None = None
    postgres_exporter: Path | None = None
    redis_exporter: Path | None = None


def find() -> Binaries:
    """Find all programs. Raises QuartetError, which names all missing ones."""
    found = {
        "PostgreSQL": _postgres(),
        "Redis": _first("redis-server"),
        "RabbitMQ": _first("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
        "epmd (Erlang)": _first("epmd", *sorted(map(str, Path("/usr/lib/erlang").glob("erts-*/bin/epmd")))),
        "nginx": _first("nginx", "/usr/sbin/nginx"),
    }
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise QuartetError(f"Not installed: {', '.join(missing)}. Install them, or use containers: docker compose up")
    programs = [path for path in found.values() if path is not None]
    return replace(
        Binaries(*programs),
        victoria_metrics=_first("victoria-metrics"),
        postgres_exporter=_first("prometheus-postgres-exporter"),
        redis_exporter=_first("prometheus-redis-exporter"),
    )


def _first(name: str, *places: str) -> Path | None:
    """The usual path first: the program in PATH may be a wrapper that needs another user or folder."""
    for place in (*places, f"/usr/bin/{name}"):
        if Path(place).is_file():
            return Path(place)
    found = shutil.which(name)
    return Path(found) if found else None


def _postgres() -> Path | None:
    """The folder of the highest version below /usr/lib/postgresql, else the one in PATH."""
    versions = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if (p / "postgres").is_file()]
    if versions:
        return max(versions, key=lambda p: [int(n) for n in re.findall(r"\d+", p.parent.name)])
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None
