"""The state of a stack between starts: its ports, the folder of PostgreSQL and the last settings."""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from quartet_cli import instances, ports
from quartet_cli.errors import QuartetError

VERSION: Final = 2


@dataclass
class State:
    """`ports` maps the names of `port_names` and `proxy` to port numbers; `postgres_data` is the cluster's folder;
    `settings` are those of the last start.
    """

    ports: dict[str, int] = field(default_factory=dict)
    postgres_data: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def load(cls, path: Path) -> "State":
        """The state stored in `path`, an empty one without a file. Raises QuartetError if it cannot be read."""
        try:
            kept = json.loads(path.read_text())
            state = cls(**kept)
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError) as error:
            raise QuartetError(f"{path} is damaged ({error}). To remove the stack, run: ./quartet reset") from error
        if state.version > VERSION:
            raise QuartetError(f"{path} was written by a newer version of Quartet. Update this checkout.")
        state.version = VERSION
        return state

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1) + "\n")
        os.replace(new, path)  # noqa: PTH105  # atomic, as Path.replace, and says so

    def complete(self, names: Collection[str]) -> None:
        """Choose a free port for each name without one; ports of processes without a name here are given up."""
        self.ports = {name: port for name, port in self.ports.items() if name in names or not _is_of_process(name)}
        missing = [name for name in names if name not in self.ports]
        for start in range(0, len(missing), ports.BLOCK // 2):
            some = missing[start : start + ports.BLOCK // 2]
            self.ports |= dict(zip(some, ports.choose(len(some), set(self.ports.values())), strict=True))


def _is_of_process(name: str) -> bool:
    """Whether a port is of an api or a worker."""
    return instances.kind_of(name.removesuffix("-private")) is not None


def port_names(services: Collection[str], settings: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The names of all internal ports of a stack with some services. Raises QuartetError for a number of processes that
    cannot be.
    """
    servers = ("postgres", "redis", "epmd", "rabbitmq", "rabbitmq-distribution", "victoria-metrics")
    numbers = ("rabbitmq-metrics", "proxy-metrics", "postgres-exporter", "redis-exporter")
    processes = [name for s in services for name in instances.port_names(s, instances.count(settings or {}, s))]
    return (*servers, *numbers, *processes)
