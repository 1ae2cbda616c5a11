"""The apis and workers of a stack: their numbers by QUARTET_PROCESSES_*, and their names.

One process of a kind is `users-api`; several are `users-api-1`, `users-api-2` and so on.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from quartet_cli.errors import QuartetError

PROCESSES: Final = ("api", "worker")
AUTO: Final = "auto"
MOST: Final = 32
NAME: Final = re.compile(r"([a-z]+)-(api|worker|migrate)(?:-(\d+))?(-spare)?")
SPARE: Final = "-spare"
"""A spare process listens at the port of an api while that one is replaced (`rolling.py`)."""


def setting(service: str) -> str:
    """The setting of the number of a service's apis, and of its workers."""
    return f"QUARTET_PROCESSES_{service.upper()}"


def count(given: Mapping[str, str], service: str) -> int:
    """The number of apis of a service, and of its workers. Raises QuartetError."""
    text = given.get(setting(service)) or "1"
    if text == AUTO:
        return min(len(os.sched_getaffinity(0)), MOST)
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= MOST:
        raise QuartetError(f"{setting(service)} must be 1-{MOST}, or auto for one per core, got {text!r}")
    return int(text)


def names(service: str, process: str, number: int) -> list[str]:
    """The names of `number` processes of a kind."""
    base = f"{service}-{process}"
    return [base] if number == 1 else [f"{base}-{index}" for index in range(1, number + 1)]


def port_names(service: str, number: int) -> list[str]:
    """The names of the ports of all processes of a service."""
    apis, workers = (names(service, process, number) for process in PROCESSES)
    return [*apis, *(f"{name}-private" for name in (*apis, *workers)), f"{service}{SPARE}-private"]


def of(ports: Iterable[str], service: str, process: str) -> list[str]:
    """The names of the processes of a kind that have ports, in order."""
    ending = "" if process == "api" else "-private"
    pattern = re.compile(rf"({service}-{process}(?:-(\d+))?){ending}")
    found = [match for name in ports if (match := pattern.fullmatch(name))]
    return [match[1] for match in sorted(found, key=lambda match: int(match[2] or 0))]


def kind_of(name: str) -> str | None:
    """`api`, `worker` or `migrate`; None for a server. A spare process is an api."""
    match = NAME.fullmatch(name)
    return match[2] if match else None


def service_of(name: str) -> str:
    """The service of an api or worker."""
    return name.partition("-")[0]


def meant(wanted: str, known: Iterable[str]) -> list[str]:
    """Those of the `known` processes that a name means: one, all of a kind (`users-api`), or all of a service."""
    return [name for name in known if name == wanted or wanted in _groups(name)]


def _groups(name: str) -> tuple[str, ...]:
    match = NAME.fullmatch(name)
    return (match[1], f"{match[1]}-{match[2]}") if match else ()
