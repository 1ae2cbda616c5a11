"""Proxy headers: the client's address, scheme and host as forwarded by trusted proxies (X-Forwarded-*)."""

from collections.abc import Callable
from typing import Any

FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"


class BehindProxies:
    """An ASGI application behind `trusted` proxies, which append to the headers: only their entries, the last
    ones, count.
    """

    def __init__(self, app: Callable[..., Any], trusted: int) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Run the application with the forwarded address, scheme and host."""
        if scope["type"] == "http":
            scope = {**scope, **self._forwarded(scope["headers"])}
        await self._app(scope, receive, send)

    def _forwarded(self, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        forwarded: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in (FOR, PROTO, HOST):
                forwarded.setdefault(name, []).extend(value.split(b","))
        found: dict[str, Any] = {}
        if (client := self._trusted_value(forwarded.get(FOR))) is not None:
            found["client"] = (client.decode("latin1"), 0)
        if (scheme := self._trusted_value(forwarded.get(PROTO))) is not None:
            found["scheme"] = scheme.decode("latin1")
        if (host := self._trusted_value(forwarded.get(HOST))) is not None:
            found["headers"] = [pair for pair in headers if pair[0] != b"host"] + [(b"host", host)]
        return found

    def _trusted_value(self, values: list[bytes] | None) -> bytes | None:
        found = values[-self._trusted].strip() if values and len(values) >= self._trusted else b""
        return found if found and found.isascii() else None  # empty
