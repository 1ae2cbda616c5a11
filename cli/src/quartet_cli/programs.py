"""One supervised process: what it runs, how it is stopped, and how to tell that it is ready."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Check = Callable[[], str | None]  # None when ready, else what is amiss, in a few words


def nothing_amiss() -> str | None:
    """The check of a process whose running is all that is asked of it."""
    return None


@dataclass(frozen=True)
class Program:
    """`url` is the process's own address without secrets; `user` the account it runs as if that is not the caller."""

    name: str
    command: tuple[str, ...]
    directory: Path
    url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    check: Check = nothing_amiss
