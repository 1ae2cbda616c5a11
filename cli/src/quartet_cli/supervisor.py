"""The client of supervisord: starts it as a daemon, and controls it over its socket."""

import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client  # nosec B411  # for the stack's own supervisord, over a private socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from quartet_cli import environment
from quartet_cli.errors import NotRunningError, QuartetError
from quartet_cli.layout import Home
from quartet_cli.programs import Program
from quartet_cli.servers.files import write_private
from quartet_cli.supervisor_config import render

NOT_RUNNING, ALREADY_STARTED, NO_SUCH_NAME = 70, 60, 10  # fault codes of its interface


@dataclass(frozen=True)
class Process:
    """The state of one program in supervisord: its name of the state, the pid if it runs, seconds since its start."""

    name: str
    state: str
    pid: int | None
    started: float
    uptime: float
    detail: str


class Supervisor:
    """One supervisord and its programs."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def is_running(self) -> bool:
        """Whether supervisord answers."""
        try:
            self._call("getState")
        except NotRunningError:
            return False
        return True

    def start(self, programs: Sequence[Program], prefix: Sequence[str] = ()) -> None:
        """Start supervisord, with `prefix` before its command, and wait until it answers; no program runs yet."""
        configuration = self.home.run / "supervisord.conf"
        write_private(configuration, render(self.home, programs))
        command = [*prefix, sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment.base(),
            cwd=self.home.run,
        )
        if done.returncode != 0:
            raise QuartetError(f"Cannot start supervisord: {done.stdout.strip()}")
        wait_until(self.is_running, 10, "supervisord does not answer.")

    def pid(self) -> int:
        """The process id of supervisord."""
        return cast(int, self._call("getPID"))

    def processes(self) -> dict[str, Process]:
        """All programs by name."""
        found = cast(list[dict[str, Any]], self._call("getAllProcessInfo"))
        return {each["name"]: _process(each) for each in found}

    def start_process(self, name: str) -> None:
        """Start a program; returns at once. No effect if it runs."""
        self._forgive(ALREADY_STARTED, "startProcess", name, False)

    def stop_process(self, name: str) -> None:
        """Stop a program; returns at once. No effect if it does not run."""
        self._forgive(NOT_RUNNING, "stopProcess", name, False)

    def stop_and_wait(self, names: Sequence[str]) -> None:
        """Stop programs in parallel and wait until all have ended; supervisord kills them after their timeouts."""
        for name in names:
            self.stop_process(name)
        wait_until(lambda: not self._running(names), 90, "These processes do not stop: " + ", ".join(names), pause=0.05)

    def signal(self, name: str, signal: str) -> None:
        """Send a signal by name, such as KILL. Raises QuartetError if the program does not run."""
        try:
            self._call("signalProcess", name, signal)
        except xmlrpc.client.Fault as fault:
            raise QuartetError(f"Cannot send a signal to {name}: {fault.faultString}") from fault

    def shutdown(self) -> None:
        """End supervisord and wait until its process has ended."""
        process = psutil.Process(self.pid())
        self._call("shutdown")
        process.wait(120)

    def _running(self, names: Sequence[str]) -> list[str]:
        processes = self.processes()
        return [name for name in names if processes[name].pid or processes[name].state in ("STARTING", "STOPPING")]

    def _forgive(self, code: int, method: str, *arguments: object) -> None:
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == NO_SUCH_NAME:
                raise QuartetError(f"No such process: {arguments[0]}") from fault
            if fault.faultCode != code:
                raise QuartetError(f"supervisord refused {method} {arguments[0]}: {fault.faultString}") from fault

    def _call(self, method: str, *arguments: object) -> object:
        """One call on a new connection, since threads cannot share one."""
        server = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(self.home.socket))
        try:
            return cast(object, getattr(server.supervisor, method)(*arguments))
        except (OSError, http.client.HTTPException) as error:
            raise NotRunningError from error


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self.path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002  # the base class's signature
        return _Connection(self.path)


def _process(info: dict[str, Any]) -> Process:
    alive = info["statename"] in ("STARTING", "RUNNING", "STOPPING")
    return Process(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"] or None,
        started=float(info["start"]),
        uptime=float(info["now"] - info["start"]) if alive else 0.0,
        detail=info["spawnerr"] or info["description"] if not alive else "",
    )


def wait_until(condition: Any, seconds: float, complaint: str, pause: float = 0.02) -> None:
    """Wait until `condition()` is true. Raises QuartetError with `complaint` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise QuartetError(complaint)
        time.sleep(pause)
