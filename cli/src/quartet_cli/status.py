"""The status of each process of the stack."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from quartet_cli.bringup import exits
from quartet_cli.errors import NotRunningError
from quartet_cli.programs import Program
from quartet_cli.supervisor import Process, Supervisor

WORDS = {
    "STOPPED": "stopped",
    "STOPPING": "stopping",
    "BACKOFF": "crashed",
    "EXITED": "crashed",
    "FATAL": "failed",
    "UNKNOWN": "unknown",
}


@dataclass(frozen=True)
class ProcessStatus:
    """`state` is running, starting, stopped, stopping, crashed (will be restarted), failed or unhealthy; `uptime` is in
    seconds; `restarts` since the start of the stack; `detail` is the problem of the process, `problems` are those of
    the events of its service.
    """

    name: str
    state: str
    pid: int | None
    url: str
    uptime: float
    restarts: int
    detail: str = ""
    problems: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether it runs and is ready."""
        return self.state == "running"


def gather(supervisor: Supervisor, programs: Sequence[Program]) -> list[ProcessStatus]:
    """The status of programs; their health checks run in parallel."""
    try:
        processes = supervisor.processes()
    except NotRunningError:
        return [ProcessStatus(p.name, "stopped", None, p.url, 0.0, 0) for p in programs]
    restarts = {name: len(ends) for name, ends in exits(supervisor.home).items()}
    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(lambda p: _ask(p, processes.get(p.name)), programs))
    return [
        describe(program, processes.get(program.name), reason, restarts.get(program.name, 0))
        for program, reason in zip(programs, reasons, strict=True)
    ]


def _ask(program: Program, process: Process | None) -> str | None:
    return program.check() if process is not None and process.pid else None


def describe(program: Program, process: Process | None, reason: str | None, restarts: int) -> ProcessStatus:
    """The status of one process; `reason` is the problem of its check, None if it passed."""
    if process is None:
        return ProcessStatus(program.name, "stopped", None, program.url, 0.0, restarts)
    state = WORDS.get(process.state) or _alive(process, reason)
    detail = process.detail if state in ("crashed", "failed") else reason or ""
    return ProcessStatus(program.name, state, process.pid, program.url, round(process.uptime, 1), restarts, detail)


def _alive(process: Process, reason: str | None) -> str:
    """A process that is not ready is starting in its first seconds, and unhealthy later."""
    if reason is None:
        return "running"
    return "starting" if process.state == "STARTING" else "unhealthy"


def age(seconds: float) -> str:
    """A duration as text."""
    return time.strftime("%H:%M:%S", time.gmtime(seconds)) if seconds < 86400 else f"{seconds / 86400:.1f} d"


def problems_of(processes: Sequence[ProcessStatus]) -> dict[str, list[str]]:
    """The problems, each with the names of its processes."""
    found: dict[str, list[str]] = {}
    for process in processes:
        for text in (process.detail, *process.problems):
            if text:
                found.setdefault(text, []).append(process.name)
    return found
