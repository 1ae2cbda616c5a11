"""One supervised process: its command, how it is stopped, and its readiness check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Check = Callable[[], str | None]  # None if ready, else the problem in a few words


def nothing_amiss() -> str | None:
    """The check of a process that is ready as soon as it runs."""
    return None


@dataclass(frozen=True)
class Program:
    """`url` is the address of the process without secrets; `user` its account (None: the caller's)."""

    name: str
    command: tuple[str, ...]
    directory: Path
    url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    check: Check = nothing_amiss
