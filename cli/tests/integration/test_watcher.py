"""A temporary stack ends with the process that started it, also when that is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from quartet_cli import leftovers
from quartet_cli.stack import Stack
from quartet_cli.supervisor import wait_until

OWNER = """
import pathlib, sys, time
from quartet_cli.stack import Stack
Stack(pathlib.Path(sys.argv[1]), services=(), temporary=True).start_servers()
print("started", flush=True)
time.sleep(600)
"""
PARENT = """
import sys
from quartet_cli import quality
quality._run(["-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"])
"""


def test_a_stack_whose_process_is_killed_ends_whole_and_leaves_no_files(tmp_path: Path) -> None:
    home = tmp_path / "home"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "started\n"
    stack = Stack(home)
    top = psutil.Process(stack.supervisor.pid())
    processes = [top, *top.children(recursive=True)]
    assert {"redis-server", "epmd", "beam.smp", "postgres"} <= {process.name() for process in processes}
    owner.kill()
    owner.wait()
    wait_until(lambda: not any(map(runs, processes)), 90, "processes of the stack still run")
    wait_until(lambda: not home.exists(), 30, "the home is still there")
    assert leftovers.find(stack.home, Path(stack.state.postgres_data)) == []
    assert not Path(stack.state.postgres_data).exists()


def test_tests_end_when_the_command_that_runs_them_is_killed() -> None:
    command = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    child = psutil.Process(int(command.stdout.readline()))
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    wait_until(lambda: not runs(child), 20, "the tests still run")


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
