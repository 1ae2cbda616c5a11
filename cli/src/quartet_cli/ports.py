"""Loopback ports: finds free ones, and the processes that use others."""

import random
import socket
from collections import deque
from typing import Final

import psutil

from quartet_cli.errors import QuartetError

HOST: Final = "127.0.0.1"
RANGE: Final = range(20000, 30000)  # below the ports that kernels hand out to outgoing connections
BLOCK: Final = 32
RESERVED: Final = 16
"""Blocks that a process keeps for itself: the servers of earlier ones listen already."""

_reservations: deque[socket.socket] = deque()


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(count: int, taken: set[int]) -> list[int]:
    """`count` different free ports out of RANGE, none of them in `taken`: neighbours, out of one block.

    No other process that chooses ports gets the same block before this process has ended or has chosen RESERVED more,
    so two stacks that are created at the same time, before either listens, have different ports. Seeds of `random`,
    which testing tools set, have no effect.
    """
    for start in random.SystemRandom().sample(RANGE[::BLOCK], len(RANGE[::BLOCK])):
        block = range(start, min(start + BLOCK, RANGE.stop))
        free = [port for port in block if port not in taken and is_free(port)]
        if len(free) >= count and _reserve(start):
            return free[:count]
    raise QuartetError(f"No {count} adjacent free ports between {RANGE.start} and {RANGE.stop - 1}.")


def _reserve(start: int) -> bool:
    """Reserve the block that begins at `start`, by an abstract Unix socket of that name; False if another process, or
    this one, has it.
    """
    reservation = socket.socket(socket.AF_UNIX)
    try:
        reservation.bind(f"\0quartet-ports-{start}")
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    if len(_reservations) > RESERVED:
        _reservations.popleft().close()
    return True


def owner(port: int) -> str:
    """The process that listens on `port`, as text: its id and command, if this user can see them."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return "a process of another user"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr[1] == port:
            return describe(connection.pid)
    return "an unknown process"


def describe(pid: int | None) -> str:
    """A process as text."""
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({command[:100].strip()})"


def require_free(wanted: dict[str, int]) -> None:
    """Check that ports are free. Raises QuartetError, which names each used port and its process."""
    taken = [f"Port {port} ({name}) is in use by {owner(port)}." for name, port in wanted.items() if not is_free(port)]
    if taken:
        hint = " Set QUARTET_PORT to another port." if not is_free(wanted.get("proxy", 0)) else ""
        raise QuartetError("\n".join(taken) + hint)
