"""Quart's end of a request: one task instead of three where the whole body has come and the answer is in memory.

What a request costs in Quart beside its route is much the same work each time; what is overridden here does it once, or
leaves out what no service has (sessions, server names). bench/peers measures it.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import FunctionType
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart import Quart, Request, Response, g, request
from quart.asgi import ASGIHTTPConnection
from quart.sessions import NullSession, SessionInterface, SessionMixin
from quart.utils import raise_task_exceptions
from quart.wrappers import BaseRequestWebsocket
from quart.wrappers.request import Body
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers, ImmutableHeadersMixin
from werkzeug.routing import MapAdapter

from quartet_common.auth.opaque import hide
from quartet_common.http1.exchange import EXTENSION, Exchange
from quartet_common.tasks import end_tasks

logger = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110 section 9.2.1)."""


class ReceivedHeaders(ImmutableHeadersMixin, Headers):  # type: ignore[misc]  # as werkzeug's own EnvironHeaders does it
    """The headers of a request: asked for by name many times, so they are found by a dictionary, and never changed.

    Like Quart's own they begin with the client's address as Remote-Addr.
    """

    def __init__(self, address: str, received: Iterable[tuple[bytes, bytes]]) -> None:
        self._list = [("Remote-Addr", address)]
        self._list += [(name.decode("latin1").title(), value.decode("latin1")) for name, value in received]
        self._first = {name.lower(): value for name, value in reversed(self._list)}

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._first

    def _get_key(self, key: str) -> str:
        found = self._first.get(key.lower())
        return super()._get_key(key) if found is None else found  # raises the KeyError that it should

    def get(self, key: str, default: Any = None, type: Any = None) -> Any:  # type: ignore[override]  # noqa: A002  # werkzeug's overloads and names
        """The first value of a header."""
        found = self._first.get(key.lower())
        if found is None or type is None:
            return default if found is None else found
        return super().get(key, default, type)


class ServiceBody(Body):
    """A body that says whether it is complete."""

    @property
    def is_complete(self) -> bool:
        """Whether awaiting it would not wait."""
        return self._complete.is_set()


class ServiceRequest(Request):
    """A request that finds the names of its blueprints once for all requests of a route, and a body that is there."""

    body_class = ServiceBody
    body: ServiceBody
    handler: "asyncio.Task[Any] | None" = None
    """What handles the request."""
    stops = True
    """Whether the request ends when its client disconnects; see `stop_on_disconnect`."""
    is_abandoned = False
    """Whether its client has disconnected."""

    def abandon(self) -> None:
        """The client has disconnected: cancel the request, unless it is to be finished and has arrived whole."""
        self.is_abandoned = True
        if self.handler is not None and (self.stops or not self.body.is_complete):
            self.handler.cancel()

    async def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """The body. What is complete needs no watch over the time that it takes."""
        if as_text or parse_form_data or not self.body.is_complete:
            return await super().get_data(cache, as_text, parse_form_data)
        data = await self.body
        if not cache:
            self.body.clear()
        return data

    @property
    def blueprints(self) -> list[str]:
        """The blueprints of the route, the innermost first."""
        return list(_blueprints(self.endpoint)) if self.endpoint else []


@lru_cache(1024)
def _blueprints(endpoint: str) -> tuple[str, ...]:
    """`a.b` and `a` for the endpoint `a.b.view`; endpoints are routes, so there are few."""
    parts = endpoint.split(".")[:-1]
    return tuple(".".join(parts[:length]) for length in range(len(parts), 0, -1))


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
        """Handle the request."""
        exchange: Exchange | None = cast(Any, self.scope).get("extensions", {}).get(EXTENSION)
        body = exchange.take_whole() if exchange is not None else None
        request = cast(ServiceRequest, self._create_request_from_scope(send))
        request.stops = request.method in SAFE_METHODS
        if exchange is None or body is None:
            return await self._receive(request, receive, send)
        request.body.set_result(body)
        request.handler = asyncio.current_task()
        exchange.on_disconnect = request.abandon
        return await self._answer(request, send)

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

    async def _answer(self, request: Request, send: ASGISendCallable) -> None:
        """Like Quart's `handle_request`; what is in memory needs no watch over the time that its sending takes."""
        response = await self.app.handle_request(request)
        if not isinstance(response, Response) or not isinstance(response.response, DataBody):
            limit = response.timeout if isinstance(response, Response) else ...
            limit = self.app.config["RESPONSE_TIMEOUT"] if limit is ... else limit
            try:
                async with asyncio.timeout(limit) as watch:
                    await self._send_response(send, response)
            except TimeoutError:
                if not watch.expired():
                    raise
                logger.error("a response was cut off", extra={"path": hide(request.path), "seconds": limit})
            return
        body = response.response
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": _encoded(response.headers)}
        )
        await send({"type": "http.response.body", "body": body.data[body.begin : body.end], "more_body": False})


@lru_cache(256)
def _name(name: str) -> bytes:
    """A header's name as it is sent; there are few."""
    return name.lower().encode()


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(_name(name), value.encode()) for name, value in headers]


def add_headers(response: Response, added: list[tuple[str, str]]) -> None:
    """Add headers that are made here and are text: what Werkzeug would look for in each takes 10 us for all of them.

    What would split the response is refused where it is written.
    """
    response.headers._list += added


async def _no_push(_path: str, _headers: Headers) -> None:
    """HTTP/1.1 knows no push."""


class ServiceApp(Quart):
    """Quart without what no service has."""

    asgi_http_class = HttpConnection
    request_class = ServiceRequest
    session_interface = NoSessions()  # type: ignore[assignment]  # Quart's own default is declared too narrowly

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


def running_request() -> Request:
    """The request that runs, itself: each look through Quart's proxy costs as much as a look into a dictionary."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy


def stop_on_disconnect() -> None:
    """Have the running request end when its client disconnects, at once if it has: only the client needs its result.

    For requests that are not by a safe method but change nothing, as a search by POST.
    """
    asked = cast(ServiceRequest, running_request())
    asked.stops = True
    if asked.is_abandoned:
        asked.abandon()


def running_globals() -> Any:
    """Quart's `g` of the request that runs, itself."""
    return g._get_current_object()  # of the proxy
