"""Addresses of SCIM routes: a slash at the end changes nothing, and nobody is redirected for it."""

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Quart

ROOT = "/scim/"

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def take_trailing_slashes(app: Quart) -> None:
    """Have `app` answer at `/scim/v2/Users/` as at `/scim/v2/Users`: some clients end their addresses so."""
    app.asgi_app = _without_trailing_slash(app.asgi_app)  # type: ignore[method-assign,assignment]  # as documented


def _without_trailing_slash(inner: Asgi) -> Asgi:
    async def outer(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.startswith(ROOT) and path.endswith("/"):
            raw = scope.get("raw_path") or b""
            scope = {**scope, "path": path.rstrip("/"), "raw_path": raw.rstrip(b"/")}
        await inner(scope, receive, send)

    return outer
