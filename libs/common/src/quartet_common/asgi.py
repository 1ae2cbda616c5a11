"""Quart's end of a request: one task instead of three where the whole body has come and the answer is in memory.

What a request costs in Quart beside its route is much the same work each time; what is overridden here does it once, or
leaves out what no service has (sessions, server names). bench/peers measures it.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Hashable, Iterable
from functools import cached_property, lru_cache
from types import FunctionType
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPResponseStartEvent
from quart import Quart, Request, Response, current_app, g, request
from quart.asgi import ASGIHTTPConnection
from quart.ctx import RequestContext
from quart.sessions import NullSession, SessionInterface, SessionMixin
from quart.typing import ResponseReturnValue
from quart.utils import raise_task_exceptions
from quart.wrappers import BaseRequestWebsocket
from quart.wrappers.request import Body
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers, ImmutableHeadersMixin, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import MapAdapter

from quartet_common.auth.opaque import hide
from quartet_common.bodies import SMALL_BODY, body_limit
from quartet_common.errors import BadRequestError, BodyTooLargeError
from quartet_common.fair_share import FairShare, ShareExceededError
from quartet_common.http1.exchange import EXTENSION, Exchange
from quartet_common.memory import Memory
from quartet_common.percent import parse_form
from quartet_common.tasks import end_tasks

logger = logging.getLogger(__name__)

MIN_RATE = 16 * 1024
"""Bytes per second of a streamed response that a client has to read."""
STALL = 10.0
"""Seconds that a client may read more slowly than that, all in all, until it has caught up."""
BYTES_IN_FLIGHT = "quartet_bytes_in_flight"
"""Where an app's extensions hold the FairShare of the bytes of bodies and responses."""
FREE_BYTES = 64 * 1024
"""Bytes up to which a body or a response is not charged."""
BODY_WEIGHT = 6
"""What a byte of a body is charged: JSON becomes about that much larger in memory."""
SLICE = 64 * 1024
"""Bytes of a response that are handed to the connection at a time."""
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
MAX_PARAMETERS = 100
"""Parameters that a query string may have."""
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
    """A body that is read from the connection once a view wants it, and no further than its route allows."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        del expected_content_length  # what is too large by its head is refused by `ServiceRequest.get_data`
        super().__init__(None, max_content_length)
        self.wanted: asyncio.Event | None = None
        """Set when a view takes the body; until then it stays in the buffers of the connection. None where it came
        with the head."""

    @property
    def is_complete(self) -> bool:
        """Whether awaiting it would not wait."""
        return self._complete.is_set()

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return len(self._data)

    def read_up_to(self, limit: int) -> None:
        """Begin to read; a longer body is dropped, and awaiting it raises BodyTooLargeError."""
        self._max_content_length = limit
        if self.wanted is not None:
            self.wanted.set()

    def append(self, data: bytes) -> None:
        """Take a piece of the body."""
        super().append(data)
        if isinstance(self._must_raise, RequestEntityTooLarge):
            self._must_raise = BodyTooLargeError(self._max_content_length or 0)
            self._data.clear()


class ServiceRequest(Request):
    """A request whose body and response are limited, and charged to its tenant's share of the process's memory.

    It finds the names of its blueprints once for all requests of a route.
    """

    body_class = ServiceBody
    body: ServiceBody
    bytes_held = 0
    """Bytes of its tenant's share that the request holds (see `hold_bytes`)."""
    is_large = False
    """Whether the request has held bytes of its tenant's share."""
    _share: FairShare | None = None
    _holder: Hashable = None
    handler: "asyncio.Task[Any] | None" = None
    """What handles the request."""
    stops = True
    """Whether the request ends when its client disconnects; see `stop_on_disconnect`."""
    is_abandoned = False
    """Whether its client has disconnected."""

    @property
    def max_body(self) -> int:
        """Bytes that the body may have."""
        view = current_app.view_functions.get(self.endpoint or "")
        limit = SMALL_BODY if view is None else body_limit(view)
        whole: int = current_app.config["MAX_CONTENT_LENGTH"]
        return min(limit, whole)

    def abandon(self) -> None:
        """The client has disconnected: cancel the request, unless it is to be finished and has arrived whole."""
        self.is_abandoned = True
        if self.handler is not None and (self.stops or not self.body.is_complete):
            self.handler.cancel()

    async def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """The body. What is complete needs no watch over the time that it takes.

        Raises BodyTooLargeError (413), and what `hold_bytes` raises for a body of more than FREE_BYTES.
        """
        limit, body = self.max_body, self.body
        if body.is_complete:
            expected = body.size
        else:
            sent = self.content_length
            expected = limit if sent is None else sent
        if expected > limit:
            raise BodyTooLargeError(limit)
        if expected > FREE_BYTES:
            await self.hold_bytes(expected * BODY_WEIGHT)
        body.read_up_to(limit)
        if as_text or parse_form_data or not body.is_complete:
            return await super().get_data(cache, as_text, parse_form_data)
        data = await body
        if not cache:
            body.clear()
        return data

    async def hold_bytes(self, amount: int, *, at_once: bool = False) -> None:
        """Have the request hold at least `amount` bytes of its tenant's share until it is answered.

        `at_once`: refuse instead of waiting, as who holds some already and waits for more could wait for itself. Raises
        ShareExceededError (429), CapacityExceededError (503).
        """
        if amount <= self.bytes_held:
            return
        if self._share is None:
            self._share = current_app.extensions.get(BYTES_IN_FLIGHT)
            known = g.get("principal")
            self._holder = ("address", self.remote_addr) if known is None else known.tenant
        if self._share is not None and self.bytes_held < self._share.share:  # more than a share nobody gets
            missing = min(amount, self._share.share) - self.bytes_held
            if at_once and missing > self._share.share - self._share.used_by(self._holder):
                raise ShareExceededError(self._share.resource)
            self.bytes_held += await self._share.acquire(self._holder, missing)
            self.is_large = True

    def release_bytes(self, kept: int = 0) -> None:
        """Give back the bytes that the request holds, but for `kept` of them."""
        surplus = self.bytes_held - kept
        if surplus > 0 and self._share is not None:
            self.bytes_held = kept
            self._share.release(self._holder, surplus)

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the query string. Raises BadRequestError beyond MAX_PARAMETERS."""
        if self.query_string.count(b"&") >= MAX_PARAMETERS:
            raise BadRequestError(f"The URL has more than {MAX_PARAMETERS} query parameters.")
        return MultiDict(parse_form(self.query_string))

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
        """Handle the request; at its end it holds no bytes of its tenant's share any more."""
        exchange: Exchange | None = cast(Any, self.scope).get("extensions", {}).get(EXTENSION)
        body = exchange.take_whole() if exchange is not None else None
        request = cast(ServiceRequest, self._create_request_from_scope(send))
        request.stops = request.method in SAFE_METHODS
        try:
            if exchange is None or body is None:
                return await self._receive(request, receive, send)
            request.body.set_result(body)
            request.handler = asyncio.current_task()
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
        body = response.response if isinstance(response, Response) else None
        if isinstance(body, DataBody) and body.end - body.begin <= SLICE:
            await send(_start(response))
            await send({"type": "http.response.body", "body": body.data[body.begin : body.end], "more_body": False})
            return
        limit = response.timeout if isinstance(response, Response) else ...
        limit = self.app.config["RESPONSE_TIMEOUT"] if limit is ... else limit
        try:
            if isinstance(body, DataBody):
                await send(_start(response))
                await _send_slices(_at_min_rate(send), body)
            else:
                async with asyncio.timeout(limit) as watch:
                    await self._send_response(_at_min_rate(send), response)
        except SlowClientError:
            logger.warning("a client that reads too slowly was disconnected", extra={"path": hide(request.path)})
        except TimeoutError:
            if not watch.expired():
                raise
            logger.error("a response was cut off", extra={"path": hide(request.path), "seconds": limit})


async def _send_slices(send: ASGISendCallable, body: DataBody) -> None:
    """Send a large body in slices: what the client has not taken stays in `body`, and does not become a copy in the
    buffers of the connection.
    """
    for begin in range(body.begin, body.end, SLICE):
        end = min(begin + SLICE, body.end)
        await send({"type": "http.response.body", "body": body.data[begin:end], "more_body": end < body.end})


def _start(response: Any) -> HTTPResponseStartEvent:
    return {"type": "http.response.start", "status": response.status_code, "headers": _encoded(response.headers)}


class SlowClientError(Exception):
    """A client reads a streamed response more slowly than MIN_RATE for longer than STALL, or than its route allows."""


def _at_min_rate(send: ASGISendCallable) -> ASGISendCallable:
    """`send` that raises SlowClientError. Only the time counts that the client takes, not what makes the response."""
    left, clock = STALL, asyncio.get_running_loop().time

    async def send_piece(message: Any) -> None:
        nonlocal left
        started, allowed = clock(), left + len(message.get("body", b"")) / MIN_RATE
        try:
            async with asyncio.timeout(allowed):
                await send(message)
        except TimeoutError:
            raise SlowClientError from None
        left = min(STALL, allowed - (clock() - started))

    return send_piece


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

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.memory = Memory()
        """Knows when large requests have ended."""

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


def running_request() -> Request:
    """The request that runs, itself: each look through Quart's proxy costs as much as a look into a dictionary."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy


async def hold_bytes(amount: int, *, at_once: bool = False) -> None:
    """Have the request that runs hold `amount` bytes of its tenant's share; see `ServiceRequest.hold_bytes`."""
    asked = running_request()
    if isinstance(asked, ServiceRequest):
        await asked.hold_bytes(amount, at_once=at_once)


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
