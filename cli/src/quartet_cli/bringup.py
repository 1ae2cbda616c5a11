"""Starting processes and waiting until each does its work, or saying which does not and why."""

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

Report = Callable[[str, str], None]  # told the name of a part, and its state in a few words
CRASHES: Final = 3  # a process that is started so often without becoming ready is given up
LINES: Final = 20


def silent(_part: str, _state: str) -> None:
    """The report of somebody who does not listen."""


def start_and_wait(
    supervisor: Supervisor, programs: Sequence[Program], seconds: float, report: Report = silent
) -> None:
    """Starts these programs together; returns when all are ready, raises ProcessFailedError when one is not."""
    for program in programs:
        report(program.name, "starting")
        supervisor.start_process(program.name)
    wait_ready(supervisor, programs, seconds, report)


def wait_ready(supervisor: Supervisor, programs: Sequence[Program], seconds: float, report: Report = silent) -> None:
    """Waits at most `seconds` for all of them, and gives up early on one that crashes again and again."""
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
    """Runs the jobs side by side and returns when all are done; the first failure is raised at once.

    The others are then left to themselves: they end when the caller stops the supervisor that they ask.
    """
    pool = ThreadPoolExecutor(max(1, len(jobs)))
    try:
        for job in as_completed([pool.submit(job) for job in jobs]):
            job.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def exits(home: Home) -> dict[str, list[str]]:
    """How each process ended that ended by itself, oldest first, as supervisord's log of this run tells."""
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
    """The error that names the part and carries the last lines of its log."""
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
