"""The server: runs an ASGI app with Hypercorn's settings and lifespan, and our own HTTP/1.1 and HTTP/2."""

import asyncio
import gc
import logging
import signal
import ssl
from collections.abc import Sequence
from typing import Any, cast

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.config import Config
from quart import Quart

from quartet_serving.http1_connection import Connection, Host
from quartet_serving.http2_connection import Http2Connection
from quartet_serving.proxy_headers import BehindProxies
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

KEEP_ALIVE = 75.0
"""Seconds an idle connection stays open; longer than in a proxy, so that the proxy closes first."""
HANDSHAKE = 10.0
"""Timeout of the TLS handshake in seconds."""
DRAIN = 0.3
"""Seconds in which responses close their connections before idle ones are closed."""
REQUESTS_PER_CONNECTION = 1_000_000
LATE_INTERVAL = 1.0
"""Seconds between two checks of the deadlines of connections."""
HTTP1 = ("http/1.1",)
HTTP2 = ("h2", "http/1.1")
"""The protocols for ALPN (RFC 7301), for `settings`."""


class Settings(Config):
    """Hypercorn's settings with an SSL context; None serves without TLS."""

    context: ssl.SSLContext | None = None

    @property
    def ssl_enabled(self) -> bool:
        """Whether TLS is served."""
        return self.context is not None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """The context, whose certificate is renewed in place."""
        return self.context


def settings(
    host: str,
    port: int,
    shutdown_timeout: float,
    *,
    context: ssl.SSLContext | None = None,
    alpn: Sequence[str] = HTTP1,
) -> Settings:
    """The settings of a server on `host`:`port`, with TLS if there is a `context`.

    `shutdown_timeout` is the time of running requests at the end, in seconds; `alpn` must match the context.
    """
    made = Settings()
    made.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    made.context = context
    made.alpn_protocols = list(alpn)
    made.accesslog = None
    made.errorlog = None
    made.include_server_header = False
    made.keep_alive_timeout = KEEP_ALIVE
    made.keep_alive_max_requests = REQUESTS_PER_CONNECTION
    made.graceful_timeout = shutdown_timeout
    made.shutdown_timeout = shutdown_timeout
    made.ssl_handshake_timeout = HANDSHAKE
    made.backlog = 1024
    return made


async def serve_app(app: Quart, settings: Config, stopping: asyncio.Event, trusted_proxies: int = 0) -> None:
    """Serve `app` until `stopping` is set.

    For DRAIN seconds responses then close their connections, so that no proxy sends a request into a connection that is
    being closed; running requests are finished after that.
    """
    loop = asyncio.get_running_loop()
    served: Any = BehindProxies(app, trusted_proxies) if trusted_proxies else app
    lifespan = Lifespan(ASGIWrapper(served), settings, loop, {})
    living = loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if living.done():
        living.result()  # raises the error of the startup
    _freeze_objects()
    server = _Server(served, settings, stopping)
    try:
        await server.open()
        await stopping.wait()
        await asyncio.sleep(DRAIN)
    finally:
        await server.close()
        await lifespan.wait_for_shutdown()
        await end_tasks([living])


def _freeze_objects() -> None:
    """Exclude all objects of the startup from garbage collection: traversing them would stop requests for 50 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # requests leave few cycles: 14 times fewer collections save 3 % of a GET


class _Server:
    """The listening sockets and all connections."""

    def __init__(self, app: Any, settings: Config, stopping: asyncio.Event) -> None:
        self._settings = settings
        self._host = Host(app, stopping, settings.keep_alive_timeout)
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Listen. Raises OSError if the port is in use."""
        settings, loop = self._settings, asyncio.get_running_loop()
        sockets = settings.create_sockets()
        for plain in sockets.insecure_sockets:
            self._servers.append(await loop.create_server(self._connection, sock=plain, backlog=settings.backlog))
        for secure in sockets.secure_sockets:
            server = await loop.create_server(
                self._connection,
                sock=secure,
                backlog=settings.backlog,
                ssl=settings.create_ssl_context(),
                ssl_handshake_timeout=settings.ssl_handshake_timeout,
            )
            self._servers.append(server)
        self._sweeper = loop.create_task(self._sweep())

    def _connection(self) -> "_Negotiated":
        return _Negotiated(self._host)

    async def close(self) -> None:
        """Stop listening, close idle connections, and wait for running requests, up to the graceful timeout."""
        for server in self._servers:
            server.close()
        self._host.closed = True
        for connection in list(self._host.connections):
            connection.close_if_idle()
        running = [*self._host.tasks, asyncio.ensure_future(self._host.emptied())]
        _, late = await asyncio.wait(running, timeout=self._settings.graceful_timeout)
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
