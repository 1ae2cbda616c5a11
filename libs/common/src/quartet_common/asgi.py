"""Quart's end of a request: one task instead of three where the whole body has come and the answer is in memory.

What a request costs in Quart beside its route is much the same work each time; what is overridden here does it once, or
leaves out what no service has (sessions, server names). bench/peers measures it.
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
from quart.ctx import RequestContext
from quart.sessions import NullSession, SessionInterface, SessionMixin
from quart.typing import ResponseReturnValue
from quart.utils import raise_task_exceptions
from quart.wrappers import BaseRequestWebsocket
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter

from quartet_common.auth.opaque import hide
from quartet_common.bodies import SMALL_BODY
from quartet_common.http1.exchange import EXTENSION, Exchange
from quartet_common.memory import Memory
from quartet_common.pauses import Pauses
from quartet_common.sending import SLICE, SlowClientError, at_min_rate, response_start, send_slices
from quartet_common.service_request import FREE_BYTES, ReceivedHeaders, ServiceBody, ServiceRequest, running_request
from quartet_common.tasks import end_tasks

logger = logging.getLogger(__name__)

TOO_MANY_REQUESTS = 429
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


class NoSessions(SessionInterface):
    """No request has a session: who asks is in its token."""

    def __init__(self) -> None:
        self._none = NullSession()

    async def open_session(self, _app: Quart, _request: BaseRequestWebsocket) -> SessionMixin:
        """The empty session, in which nothing can be kept."""
        return self._none

    async def save_session(self, _app: Quart, _session: SessionMixin, _response: Any) -> None:
        """Nothing is kept."""


class HttpConnection(ASGIHTTPConnection):
    """One request. Over HTTP/1.1 the server says when the body is there; everything else goes Quart's own way.

    A request by a method that is not safe (RFC 9110 section 9.2.1) is finished although its client disconnects, once it
    has arrived whole: what it changes, counts or ends must not depend on who still listens. The server waits for it
    when it shuts down.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Handle the request; at its end it holds no bytes of its tenant's share any more."""
        exchange: Exchange | None = cast(Any, self.scope).get("extensions", {}).get(EXTENSION)
        body = exchange.take_whole() if exchange is not None else None
        request = cast(ServiceRequest, self._create_request_from_scope(send))
        request.stops = request.method in SAFE_METHODS
        try:
            if exchange is None or body is None:
                return await self._receive(request, receive, send)
            request.body.set_result(body)
            request.handler = exchange.task
            exchange.on_disconnect = request.abandon
            return await self.handle_request(request, send)
        finally:
            request.release_bytes()
            if request.is_large and isinstance(self.app, ServiceApp):
                self.app.memory.requests += 1

    async def handle_messages(self, request: Request, receive: ASGIReceiveCallable) -> None:
        """Read the body when a view wants it."""
        body = request.body
        if not isinstance(body, ServiceBody):
            return await super().handle_messages(request, receive)
        if request.method in WITH_BODY:
            body.wanted = asyncio.Event()
            await body.wanted.wait()
        else:
            body.read_up_to(SMALL_BODY)
        return await super().handle_messages(request, receive)

    async def _receive(self, request: ServiceRequest, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Handle a request while its body arrives: Quart's `__call__`, which cancels every request on a disconnect."""
        receiver = asyncio.ensure_future(self.handle_messages(request, receive))
        handler = request.handler = asyncio.ensure_future(self.handle_request(request, send))
        try:
            await asyncio.wait([handler, receiver], return_when=asyncio.FIRST_COMPLETED)
            if not handler.done():
                request.abandon()
                await asyncio.wait([handler])
        finally:
            await end_tasks([handler, receiver])
        raise_task_exceptions({handler, receiver})

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
        """Run the application and send its response; what is small and in memory needs no watch over the time."""
        response = await self.app.handle_request(request)
        if response.status_code == TOO_MANY_REQUESTS:
            await self._pause(cast(ServiceRequest, request))
        body = response.response if isinstance(response, Response) else None
        if isinstance(body, DataBody) and body.end - body.begin <= SLICE:
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
            logger.warning("a client that reads too slowly was disconnected", extra={"path": hide(request.path)})
        except TimeoutError:
            if not watch.expired():
                raise
            logger.error("a response was cut off", extra={"path": hide(request.path), "seconds": limit})

    async def _pause(self, request: ServiceRequest) -> None:
        """Wait before an answer that only the client needs: the pause ends when the client disconnects."""
        exchange: Exchange | None = cast(Any, self.scope).get("extensions", {}).get(EXTENSION)
        if exchange is not None:
            exchange.on_disconnect = request.abandon
        request.body.clear()
        request.release_bytes()
        request.stop_on_disconnect()
        await cast(ServiceApp, self.app).pauses.pause()


async def _no_push(_path: str, _headers: Headers) -> None:
    """HTTP/1.1 knows no push."""


class ServiceApp(Quart):
    """Quart without what no service has."""

    asgi_http_class = HttpConnection
    request_class = ServiceRequest
    session_interface = NoSessions()  # type: ignore[assignment]  # Quart's own default is declared too narrowly

    def __init__(self, *given: Any, stopping: asyncio.Event, **options: Any) -> None:
        super().__init__(*given, **options)
        self.memory = Memory()
        """Knows when large requests have ended."""
        self.pauses = Pauses(stopping)

    async def dispatch_request(self, request_context: RequestContext | None = None) -> ResponseReturnValue:
        """Run the view; a large response holds its size of the tenant's share of bytes in flight until it is sent."""
        result = await super().dispatch_request(request_context)
        asked = running_request() if request_context is None else request_context.request
        size = len(result.response.data) if isinstance(result, Response) and type(result.response) is DataBody else 0
        charged = size if size > FREE_BYTES else 0
        if isinstance(asked, ServiceRequest) and charged != asked.bytes_held:
            asked.release_bytes(kept=charged)
            if asked.method not in WITH_BODY:  # what a write has done is not refused any more
                await asked.hold_bytes(charged)
        return result

    def ensure_async(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """`func` itself if it is a coroutine function, as nearly all are."""
        if type(func) is FunctionType and func.__code__.co_flags & inspect.CO_COROUTINE:
            return func
        return cast(Callable[..., Any], super().ensure_async(func))

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """What matches the request's path; no route here depends on the server's name."""
        if request is None:
            return None
        query = request.query_string.decode("latin1")
        root = request.root_path or "/"
        host = request.host.lower()
        return MapAdapter(self.url_map, host, root, "", request.scheme, request.path, request.method, query)

    def keep_responses(self) -> None:
        """Have what is a response already not be converted; to be called when all extensions are installed."""
        convert = self.make_response

        async def make_response(result: Any) -> Any:
            return result if isinstance(result, Response) else await convert(result)

        self.make_response = make_response  # type: ignore[method-assign]  # as quart-schema does it
