"""Loopback ports: finds free ones, and the processes that use others."""

import errno
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
    return bind_error(HOST, port) is None


def bind_error(address: str, port: int) -> OSError | None:
    """Why a server of this user could not listen on an address and port now, None if it could."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


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


def unusable(address: str, port: int) -> str | None:
    """Why this user's server cannot listen there, as text; None if it can."""
    error = bind_error(address, port)
    if error is None:
        return None
    if error.errno == errno.EACCES:
        return "can be used by root only, or after: sysctl net.ipv4.ip_unprivileged_port_start"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot be used: {address} is not an address of this machine"
    return f"is in use by {owner(port)}" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"


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
    taken = [f"Port {port} ({name}) {reason}." for name, port in wanted.items() if (reason := unusable(HOST, port))]
    if taken:
        hint = " Set QUARTET_PORT to another port." if not is_free(wanted.get("proxy", 0)) else ""
        raise QuartetError("\n".join(taken) + hint)
