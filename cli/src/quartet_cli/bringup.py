"""Starts processes and waits until all are ready; errors name the failed process and the reason."""

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from quartet_cli.errors import ProcessFailedError
from quartet_cli.layout import Home
from quartet_cli.programs import Program
from quartet_cli.supervisor import Supervisor

Report = Callable[[str, str], None]  # called with the name of a part and its state in a few words
CRASHES: Final = 3  # exits of a process before it is ready after which the start fails
LINES: Final = 20


def silent(_part: str, _state: str) -> None:
    """A report function without output."""


def start_and_wait(
    supervisor: Supervisor, programs: Sequence[Program], seconds: float, report: Report = silent
) -> None:
    """Start programs in parallel and wait until all are ready. Raises ProcessFailedError."""
    for program in programs:
        report(program.name, "starting")
        supervisor.start_process(program.name)
    wait_ready(supervisor, programs, seconds, report)


def wait_ready(supervisor: Supervisor, programs: Sequence[Program], seconds: float, report: Report = silent) -> None:
    """Wait at most `seconds` until all programs are ready; fails early if one exits repeatedly."""
    begun = time.monotonic()
    waiting = list(programs)
    starts: dict[str, set[float]] = {program.name: set() for program in programs}
    while waiting:
        processes = supervisor.processes()
        for program in list(waiting):
            process = processes[program.name]
            starts[program.name].add(process.started)
            reason = program.check() if process.pid else process.detail or process.state.lower()
            if reason is None:
                waiting.remove(program)
                report(program.name, f"ready after {time.monotonic() - begun:.1f} s")
            elif process.state == "FATAL" or len(starts[program.name]) >= CRASHES:
                ended = exits(supervisor.home).get(program.name, [reason])[-1]
                raise failed(supervisor, program.name, f"it keeps exiting ({ended})")
            elif time.monotonic() - begun > seconds:
                raise failed(supervisor, program.name, f"not ready after {seconds:.0f} s: {reason}")
        time.sleep(0.05 if waiting else 0)


def together(*jobs: Callable[[], None]) -> None:
    """Run jobs in parallel and return when all are done; raises the first failure at once.

    The other jobs continue then: they end when the caller stops the supervisor that they poll.
    """
    pool = ThreadPoolExecutor(max(1, len(jobs)))
    try:
        for job in as_completed([pool.submit(job) for job in jobs]):
            job.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def exits(home: Home) -> dict[str, list[str]]:
    """The exits of each process, oldest first, from supervisord's log of this run."""
    found: dict[str, list[str]] = {}
    try:
        text = (home.logs / "supervisord.log").read_text(errors="replace")
    except FileNotFoundError:
        return found
    this_run = text.rpartition("supervisord started with pid")[2]
    for name, how in re.findall(r"exited: (\S+) \((.*); (?:not )?expected\)", this_run):
        found.setdefault(name, []).append(how)
    return found


def failed(supervisor: Supervisor, name: str, reason: str) -> ProcessFailedError:
    """The error with the name of the process and the last lines of its log."""
    return ProcessFailedError(name, reason, tail(supervisor.home.logs / f"{name}.log", LINES))


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, read from its end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - lines * 2000))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []
