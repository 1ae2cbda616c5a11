"""The real supervisord, with tiny programs in place of servers."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from quartet_cli import leftovers
from quartet_cli.bringup import exits, start_and_wait
from quartet_cli.errors import NotRunningError, ProcessFailedError, QuartetError
from quartet_cli.layout import Home
from quartet_cli.programs import Program
from quartet_cli.supervisor import Supervisor, wait_until

SLEEP = "import time; print('here', flush=True); time.sleep(600)"
CRASH = "import sys; print('no such luck', flush=True); sys.exit(2)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
)


SILENT = "import time; time.sleep(600)"
TALKATIVE = "import os, time; print(sorted(os.environ), 'here', flush=True); time.sleep(600)"
TEXTS = {"one": SLEEP, "two": SLEEP, "crash": CRASH, "loop": CRASH, "silent": SILENT, "stubborn": STUBBORN}


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """A supervisord with the programs of TEXTS, none of them running yet."""
    with supervising(tmp_path_factory.mktemp("a home")) as supervisor:
        yield supervisor


@contextmanager
def supervising(folder: Path) -> Iterator[Supervisor]:
    home = Home(folder)
    home.prepare()
    supervisor = Supervisor(home)
    supervisor.start([program(home, name) for name in TEXTS])
    try:
        yield supervisor
    finally:
        if supervisor.is_running():
            supervisor.shutdown()
        leftovers.end(leftovers.find(home, home.data), patience=1)


def program(home: Home, name: str) -> Program:
    """A program that is ready when it has said "here"."""
    log = home.logs / f"{name}.log"

    def check() -> str | None:
        return None if log.exists() and "here" in log.read_text() else "it has not said that it is here"

    return Program(name, (sys.executable, "-c", TEXTS[name]), home.run, stop_seconds=1, check=check)


def run(supervisor: Supervisor, name: str, seconds: float = 20) -> psutil.Process:
    """Starts a program, waits until it is ready, and returns its process."""
    start_and_wait(supervisor, [program(supervisor.home, name)], seconds)
    return process_of(supervisor, name)


def process_of(supervisor: Supervisor, name: str) -> psutil.Process:
    pid = supervisor.processes()[name].pid
    assert pid is not None
    return psutil.Process(pid)


def test_a_program_is_started_waited_for_and_stopped(supervisor: Supervisor) -> None:
    process = run(supervisor, "one")
    supervisor.stop_and_wait(["one"])
    assert not process.is_running()
    assert supervisor.processes()["one"].state == "STOPPED"


def test_starting_what_runs_and_stopping_what_does_not_is_no_error(supervisor: Supervisor) -> None:
    process = run(supervisor, "one")
    supervisor.start_process("one")
    assert process_of(supervisor, "one") == process
    supervisor.stop_and_wait(["one"])
    supervisor.stop_and_wait(["one"])


def test_an_unknown_program_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(QuartetError, match="No such process: three"):
        supervisor.start_process("three")


def test_a_program_that_is_killed_comes_back_and_its_end_is_counted(supervisor: Supervisor) -> None:
    first = run(supervisor, "two")
    supervisor.signal("two", "KILL")
    wait_until(lambda: supervisor.processes()["two"].pid not in (None, first.pid), 10, "it did not come back")
    assert exits(supervisor.home)["two"] == ["terminated by SIGKILL"]


def test_a_crash_loop_is_slowed_down_by_growing_pauses(supervisor: Supervisor) -> None:
    begun = time.monotonic()
    supervisor.start_process("loop")
    wait_until(lambda: len(exits(supervisor.home).get("loop", [])) == 3, 20, "it was not tried three times")
    assert time.monotonic() - begun >= 2  # 1 s, then 2 s, less what supervisord's own clock rounds away
    supervisor.stop_and_wait(["loop"])


def test_a_program_that_crashes_while_it_comes_up_is_named_with_its_exit_code_and_log(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessFailedError, match=r"crash failed: .*exit status 2") as caught:
        run(supervisor, "crash")
    assert caught.value.name == "crash"
    assert caught.value.log[-1] == "no such luck"


def test_a_program_that_runs_but_is_never_ready_is_named_with_its_reason(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessFailedError, match="silent failed: not ready after 0 s: it has not said that it is here"):
        run(supervisor, "silent", seconds=0.2)


def test_a_program_that_does_not_stop_is_killed(supervisor: Supervisor) -> None:
    process = run(supervisor, "stubborn")
    supervisor.stop_and_wait(["stubborn"])
    assert not process.is_running()


def test_shutdown_ends_the_supervisor_and_everything_in_its_charge(tmp_path: Path) -> None:
    with supervising(tmp_path) as supervisor:
        processes = [run(supervisor, "one"), psutil.Process(supervisor.pid())]
        supervisor.shutdown()
        assert not any(process.is_running() for process in processes)
        with pytest.raises(NotRunningError):
            supervisor.processes()


def test_what_a_killed_supervisor_leaves_behind_is_found_and_ended(tmp_path: Path) -> None:
    with supervising(tmp_path) as supervisor:
        home = supervisor.home
        left = {run(supervisor, "one"), run(supervisor, "stubborn")}
        psutil.Process(supervisor.pid()).kill()
        wait_until(lambda: not supervisor.is_running(), 10, "supervisord survived")
        assert set(leftovers.find(home, home.data)) == left
        leftovers.end(leftovers.find(home, home.data), patience=0.5)
        assert leftovers.find(home, home.data) == []


def test_programs_do_not_see_the_environment_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_PASSWORD", "secret")
    monkeypatch.setitem(TEXTS, "one", TALKATIVE)
    with supervising(tmp_path) as supervisor:
        run(supervisor, "one")
        told = (supervisor.home.logs / "one.log").read_text()
    assert "PATH" in told
    assert "CLOUD_PASSWORD" not in told


def test_the_test_process_is_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.prepare()
    monkeypatch.chdir(home.run)
    assert os.getpid() not in {process.pid for process in leftovers.find(home, home.data)}
