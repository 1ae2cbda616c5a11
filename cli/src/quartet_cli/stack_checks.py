"""Checks of this machine for `doctor`: what a checkout needs, and the processes of its stack."""

import os
import shutil
from typing import Final

from quartet_cli import binaries, ports
from quartet_cli.errors import QuartetError
from quartet_cli.layout import home_path
from quartet_cli.server_checks import OK, PROBLEM, WARNING, Finding
from quartet_cli.stack import Stack
from quartet_cli.status import problems_of

GIB: Final = 1024**3
LEAST_DISK, LITTLE_DISK = 1.0, 5.0
"""GiB of free space below which RabbitMQ and PostgreSQL soon stop, and below which it is time to look."""


def run() -> list[Finding]:
    """Check programs, disk, ports and processes."""
    stack = Stack(home_path())
    return [_programs(), disk(_free(stack)), *_ports(stack), *_processes(stack)]


def _programs() -> Finding:
    try:
        found = binaries.find()
    except QuartetError as error:
        return Finding("programs", PROBLEM, str(error), "./quartet up installs them on Debian and Ubuntu.")
    if found.victoria_metrics is None:
        return Finding("programs", WARNING, "victoria-metrics is not installed", "Without it there is no PromQL.")
    return Finding("programs", OK, "all are installed")


def _free(stack: Stack) -> float:
    """GiB of free space where the home is, or will be."""
    folder = stack.home.path
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(os.fspath(folder)).free / GIB


def disk(free: float) -> Finding:
    """The finding for free space in GiB."""
    text = f"{free:.1f} GiB free"
    if free >= LITTLE_DISK:
        return Finding("disk", OK, text)
    return Finding("disk", PROBLEM if free < LEAST_DISK else WARNING, text, "Free some space, or set QUARTET_HOME.")


def _ports(stack: Stack) -> list[Finding]:
    """The ports that a stopped stack will need."""
    if stack.is_running():
        return []
    taken = {port: ports.unusable(ports.HOST, port) for port in stack.state.ports.values()}
    used = [f"port {port} {reason}" for port, reason in taken.items() if reason]
    if used:
        return [Finding("ports", PROBLEM, "; ".join(used), "End that process, or set QUARTET_PORT.")]
    return [Finding("ports", OK, "free")]


def _processes(stack: Stack) -> list[Finding]:
    if not stack.is_running():
        return [Finding("stack", PROBLEM, "is not running", "Run: ./quartet up", is_final=True)]
    processes = stack.status()
    found = [
        Finding("stack", PROBLEM, f"{text} ({', '.join(names)})", "docs/operations.md, Problems")
        for text, names in problems_of(processes).items()
    ]
    down = [one.name for one in processes if not one.healthy and not one.detail]
    if down:
        found.append(Finding("stack", PROBLEM, f"not running: {', '.join(down)}", "Run: ./quartet up"))
    return found or [Finding("stack", OK, f"{len(processes)} processes are healthy")]
