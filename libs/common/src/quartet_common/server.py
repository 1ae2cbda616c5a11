"""The server: runs an ASGI app on Hypercorn, with TLS and HTTP/2 when configured; nothing else knows Hypercorn."""

import asyncio
import signal
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.middleware import ProxyFixMiddleware
from quart import Quart, Response, request

from quartet_common.config import ServiceConfig

KEEP_ALIVE = 75.0
"""Seconds an idle connection stays open; longer than a proxy keeps its own, so that the proxy closes first."""
DRAIN = 0.3
"""Seconds in which responses end their connections before idle ones are closed."""
REQUESTS_PER_CONNECTION = 1_000_000
HTTP2 = ["h2", "http/1.1"]


def hypercorn_config(config: ServiceConfig) -> Config:
    """Hypercorn's settings for the service's api."""
    settings = _base(config.host, config.port, config)
    if config.certfile is not None and config.keyfile is not None:
        settings.certfile = str(config.certfile)
        settings.keyfile = str(config.keyfile)
    settings.alpn_protocols = HTTP2 if config.protocol == "h2" else ["http/1.1"]
    return settings


def private_config(config: ServiceConfig) -> Config:
    """Hypercorn's settings for the private port."""
    return _base(config.private_host, config.private_port, config)


def _base(host: str, port: int, config: ServiceConfig) -> Config:
    settings = Config()
    settings.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    settings.accesslog = None
    settings.errorlog = None
    settings.include_server_header = False
    settings.keep_alive_timeout = KEEP_ALIVE
    settings.keep_alive_max_requests = REQUESTS_PER_CONNECTION
    settings.graceful_timeout = config.shutdown_timeout
    settings.shutdown_timeout = config.shutdown_timeout
    settings.backlog = 1024
    return settings


async def serve_app(app: Quart, settings: Config, stopping: asyncio.Event, trusted_proxies: int = 0) -> None:
    """Serve `app` until `stopping` is set.

    For a moment every response then ends its connection, so that no proxy sends a request into a connection that is
    being closed; what still runs after that is finished.
    """
    served: Any = ProxyFixMiddleware(app, "legacy", trusted_proxies) if trusted_proxies else app

    async def close_connections(response: Response) -> Response:
        if stopping.is_set() and request.http_version.startswith("1"):
            response.headers["Connection"] = "close"
        return response

    async def drained() -> None:
        await stopping.wait()
        await asyncio.sleep(DRAIN)

    app.after_request(close_connections)
    await serve(served, settings, shutdown_trigger=drained)


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set `stopping`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
