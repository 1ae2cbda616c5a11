"""The Quart side of a request: one task instead of three if the whole body has arrived and the response is in memory.

Most of the cost of a request in Quart is the same work each time; the overrides here do it once, or skip what no
service uses (sessions, server names). bench/peers measures it. It works with Quart 0.22 and 0.23.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable
from types import FunctionType
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart import Quart, Request, Response
from quart.asgi import ASGIHTTPConnection
from quart.sessions import NullSession, SessionInterface, SessionMixin
from quart.wrappers import BaseRequestWebsocket
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter

from quartet_serving.exchange import EXTENSION, ROUTE, Exchange
from quartet_serving.request import ReceivedHeaders, ServedRequest
from quartet_serving.sending import SMALL, SlowClientError, at_min_rate, response_start, send_slices
from quartet_serving.tasks import end_tasks

logger = logging.getLogger(__name__)

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""
UNWANTED_BODY = 16 * 1024
"""Bytes that are read of the body of a request whose method has none, without a view that reads it."""


class NoSessions(SessionInterface):
    """No request has a session; tokens identify clients."""

    def __init__(self) -> None:
        self._none = NullSession()

    async def open_session(self, _app: Quart, _request: BaseRequestWebsocket) -> SessionMixin:
        """An empty, read-only session."""
        return self._none

    async def save_session(self, _app: Quart, _session: SessionMixin, _response: Any) -> None:
        """No effect."""


class HttpConnection(ASGIHTTPConnection):
    """One request of a ServedApp. Over HTTP/1.1 the server knows when the body is complete; otherwise Quart's own code
    runs.

    A request by an unsafe method (RFC 9110 section 9.2.1) that has arrived is finished although its client disconnects:
    what it changes must not depend on the client's patience. A stopping server waits for it.
    """

    app: "ServedApp"

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Handle the request."""
        exchange: Exchange | None = cast(Any, self.scope).get("extensions", {}).get(EXTENSION)
        body = exchange.take_whole() if exchange is not None else None
        request = cast(ServedRequest, self._create_request_from_scope(send))
        request.stops = request.method in SAFE_METHODS
        try:
            if exchange is None or body is None:
                return await self._receive(request, receive, send)
            request.body.set_result(body)
            request.handler = exchange.task
            exchange.on_disconnect = request.abandon
            return await self.handle_request(request, send)
        finally:
            if request.url_rule is not None:
                cast(dict[str, Any], self.scope)[ROUTE] = request.url_rule.rule
            self.app.end_request(request)

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable, *_: Any) -> None:
        """Read the body when a view needs it, then wait until the client disconnects."""
        body = cast(ServedRequest, request).body
        if request.method in WITH_BODY:
            body.requested = asyncio.Event()
            await body.requested.wait()
        else:
            body.read_up_to(UNWANTED_BODY)
        while (message := await receive())["type"] == "http.request":
            body.append(message.get("body", b""))
            if not message.get("more_body", False):
                body.set_complete()
            await body.has_room()

    async def _receive(self, request: ServedRequest, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Handle a request while its body arrives: as Quart's `__call__`, which cancels every request on a
        disconnect.
        """
        receiver = asyncio.ensure_future(self.handle_messages(request, receive))
        handler = request.handler = asyncio.ensure_future(self.handle_request(request, send))
        try:
            await asyncio.wait([handler, receiver], return_when=asyncio.FIRST_COMPLETED)
            if not handler.done():
                request.abandon()
                await asyncio.wait([handler])
        finally:
            await end_tasks([handler, receiver])
        for task in (handler, receiver):
            if not task.cancelled():
                task.result()  # raises its error

    def _create_request_from_scope(self, send: ASGISendCallable) -> Request:
        scope = self.scope
        if scope["http_version"] != "1.1" or not scope["path"].startswith("/"):
            return super()._create_request_from_scope(send)
        config = self.app.config
        return self.app.request_class(
            scope["method"],
            scope["scheme"],
            scope["path"],
            scope["query_string"],
            ReceivedHeaders((scope.get("client") or ["<local>"])[0], scope["headers"]),
            "",
            "1.1",
            max_content_length=config["MAX_CONTENT_LENGTH"],
            body_timeout=config["BODY_TIMEOUT"],
            send_push_promise=_no_push,
            scope=scope,
        )

    async def handle_request(self, request: Request, send: ASGISendCallable) -> None:
        """Run the application and send its response; a small response in memory needs no timeout."""
        response = await self.app.handle_request(request)
        body = response.response if isinstance(response, Response) else None
        if isinstance(body, DataBody) and body.end - body.begin <= SMALL:
            await send(response_start(response))
            await send({"type": "http.response.body", "body": body.data[body.begin : body.end], "more_body": False})
            return
        limit = response.timeout if isinstance(response, Response) else ...
        limit = self.app.config["RESPONSE_TIMEOUT"] if limit is ... else limit
        try:
            if isinstance(body, DataBody):
                await send(response_start(response))
                await send_slices(at_min_rate(send), body)
            else:
                async with asyncio.timeout(limit) as watch:
                    await self._send_response(at_min_rate(send), response)
        except SlowClientError:
            logger.warning("a client that reads too slowly was disconnected", extra={"path": self._path(request)})
        except TimeoutError:
            if not watch.expired():
                raise
            logger.error("a response was cut off", extra={"path": self._path(request), "seconds": limit})

    def _path(self, request: Request) -> str:
        return self.app.loggable_path(request.path)


async def _no_push(_path: str, _headers: Headers) -> None:
    """HTTP/1.1 has no push."""


class ServedApp(Quart):
    """Quart without the features that no service uses."""

    asgi_http_class = HttpConnection
    request_class = ServedRequest
    session_interface = NoSessions()  # type: ignore[assignment]  # Quart's own default is declared too narrowly

    def end_request(self, request: ServedRequest) -> None:
        """`request` has a response, or has failed; called once for each."""

    def loggable_path(self, path: str) -> str:
        """`path` as log lines may contain it."""
        return path

    def ensure_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """`func` if it is a coroutine function, as nearly all are."""
        if type(func) is FunctionType and func.__code__.co_flags & inspect.CO_COROUTINE:
            return func
        return cast(Callable[..., Any], super().ensure_async(func))

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """The adapter that matches the request's path; no route depends on the server's name."""
        if request is None:
            return None
        query = request.query_string.decode("latin1")
        root = request.root_path or "/"
        host = request.host.lower()
        return MapAdapter(self.url_map, host, root, "", request.scheme, request.path, request.method, query)

    def keep_responses(self) -> None:
        """Skip the conversion of responses; call it when all extensions are installed."""
        convert = self.make_response

        async def make_response(result: Any) -> Any:
            return result if isinstance(result, Response) else await convert(result)

        self.make_response = make_response  # type: ignore[method-assign]  # as quart-schema does it
