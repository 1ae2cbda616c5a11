"""The server: listening sockets, and the start and end of an ASGI application behind them."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
import ssl
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from quartet_serving.http1_connection import App, Connection, Host
from quartet_serving.http2_connection import Http2Connection
from quartet_serving.proxy_headers import BehindProxies
from quartet_serving.tasks import end_tasks

if TYPE_CHECKING:
    from quart import Quart  # 9 MB, which a worker does without

logger = logging.getLogger(__name__)

KEEP_ALIVE = 75.0
"""Seconds an idle connection stays open; longer than in a proxy, so that the proxy closes first."""
HANDSHAKE = 10.0
"""Timeout of the TLS handshake in seconds."""
DRAIN = 0.3
"""Seconds in which responses close their connections, and new ones are accepted, before the port is closed."""
LAST_ACCEPTS = 0.05
"""Seconds in which the connections that the kernel has already made are accepted before the port is closed."""
IDLE_AT_END = 2.0
"""Seconds without a request after which a connection is closed at the end: more than a proxy keeps idle connections
(1 s), so that the proxy closes them, and none of its requests meets a closing connection.
"""
DROP_NEW = struct.pack("=" + "HBBI" * 4, 0x30, 0, 0, 13, 0x45, 0, 1, 0x02, 0x06, 0, 0, 0, 0x06, 0, 0, 0xFFFFFFFF)
"""A socket filter (Linux, filter.h): load byte 13 of the TCP header, drop the packet if SYN is set in it."""
CHOOSE_SECOND = struct.pack("=HBBI", 0x06, 0, 0, 1)
"""A program that chooses the second of the sockets of a port: the one that listened later; no effect without one."""
SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF, SO_DETACH_REUSEPORT_BPF = 26, 51, 68
BACKLOG = 1024
"""Connections that wait to be accepted."""
STARTUP = 60.0
"""Seconds for the start of an application."""
LATE_INTERVAL = 1.0
"""Seconds between two checks of the deadlines of connections."""
HTTP1 = ("http/1.1",)
HTTP2 = ("h2", "http/1.1")
"""The protocols for ALPN (RFC 7301) of a context."""


@dataclass(frozen=True)
class Settings:
    """The settings of a server on `host`:`port`, with TLS if there is a `context`, which is renewed in place.

    `shutdown_timeout` is the time of running requests at the end, and `idle_at_end` that of idle connections, in
    seconds. With `shares_port` another process of
    the same user can listen on the port too, so that it can take over.
    """

    host: str
    port: int
    shutdown_timeout: float
    context: ssl.SSLContext | None = None
    shares_port: bool = False
    idle_at_end: float = IDLE_AT_END

    def listen(self) -> socket.socket:
        """The listening socket. Raises OSError if the port is in use."""
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.shares_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((self.host, self.port))
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        return listener


async def serve_app(
    app: "Quart",
    settings: Settings,
    stopping: asyncio.Event,
    trusted_proxies: int = 0,
    listening: asyncio.Event | None = None,
) -> None:
    """Start `app`, serve it until `stopping` is set, and end it. `listening` is set when it takes connections."""
    async with asyncio.timeout(STARTUP):
        await app.startup()
    try:
        served = BehindProxies(app, trusted_proxies) if trusted_proxies else app
        await serve(served, settings, stopping, listening)
    finally:
        async with asyncio.timeout(settings.shutdown_timeout):
            await app.shutdown()


async def serve(app: App, settings: Settings, stopping: asyncio.Event, listening: asyncio.Event | None = None) -> None:
    """Serve an ASGI application that needs no start and no end until `stopping` is set. `listening` is set when it
    takes connections.

    For DRAIN seconds responses then close their connections. Then the port is closed, and connections are closed when
    they have been idle, so that no proxy sends a request into a connection that is being closed. Running requests are
    finished.
    """
    _freeze_objects()
    server = _Server(app, settings, stopping)
    try:
        await server.open()
        if listening is not None:
            listening.set()
        await stopping.wait()
        await asyncio.sleep(DRAIN)
        await server.drain()
    finally:
        await server.close()


def turn_away(listener: socket.socket) -> None:
    """Have the kernel (Linux) give new connections to the other process that listens on the port. Without one it drops
    the packets that open connections: clients send them again after a second, and are refused then.

    Otherwise closing the port would reset a connection that the kernel has made and the process has not accepted, with
    the request in it.
    """
    if sys.platform != "linux":
        return
    if listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
        _attach(listener, SO_ATTACH_REUSEPORT_CBPF, CHOOSE_SECOND)
    _attach(listener, SO_ATTACH_FILTER, DROP_NEW)


def _attach(listener: socket.socket, option: int, program: bytes) -> None:
    code = ctypes.create_string_buffer(program, len(program))
    with contextlib.suppress(OSError):  # a kernel that cannot do it
        listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))


def _detach(listener: socket.socket) -> None:
    """Remove the choice, which would stay with the port."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # there is none
            listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)


def _freeze_objects() -> None:
    """Exclude all objects of the startup from garbage collection: traversing them would stop requests for 50 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # requests leave few cycles: 14 times fewer collections save 3 % of a GET


class _Server:
    """The listening socket and all connections."""

    def __init__(self, app: App, settings: Settings, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._host = Host(app, stopping, KEEP_ALIVE)
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen. Raises OSError if the port is in use."""
        context, loop = self._settings.context, asyncio.get_running_loop()
        self._listener = self._settings.listen()
        self._server = await loop.create_server(
            self._connection,
            sock=self._listener,
            backlog=BACKLOG,
            ssl=context,
            ssl_handshake_timeout=None if context is None else HANDSHAKE,
        )
        self._sweeper = loop.create_task(self._sweep())

    def _connection(self) -> "_Negotiated":
        return _Negotiated(self._host)

    async def drain(self) -> None:
        """Close the port without losing a connection, and wait until none was used in the last `idle_at_end` s."""
        if self._server is None or self._listener is None:
            return
        turn_away(self._listener)
        await asyncio.sleep(LAST_ACCEPTS)
        _detach(self._listener)
        self._server.close()
        recent = self._settings.idle_at_end
        while any(one.is_recent(recent) for one in self._host.connections):  # noqa: ASYNC110  # time decides
            await asyncio.sleep(LAST_ACCEPTS)

    async def close(self) -> None:
        """Stop listening, close idle connections, and wait for running requests, up to the graceful timeout."""
        if self._server is not None:
            self._server.close()
        self._host.closed = True
        for connection in list(self._host.connections):
            connection.close_if_idle()
        running = [*self._host.tasks, asyncio.ensure_future(self._host.emptied())]
        _, late = await asyncio.wait(running, timeout=self._settings.shutdown_timeout)
        await end_tasks(late)
        for connection in list(self._host.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(LATE_INTERVAL)
            now = self._host.loop.time()
            for connection in list(self._host.connections):
                try:
                    connection.close_if_late(now)
                except Exception:  # one connection must not end the time limits of all others
                    logger.exception("the time limits of a connection could not be checked")
                    connection.abort()


class _Negotiated(Connection):
    """A connection with the protocol of ALPN (RFC 7301)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected, and the TLS handshake is done."""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2" and not self._host.closed:
            connection = Http2Connection(self._host)
            cast(asyncio.Transport, transport).set_protocol(connection)
            connection.connection_made(transport)
        else:
            super().connection_made(transport)


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Make SIGTERM and SIGINT set `stopping`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
