"""Exchanges: one request and its response, as the ASGI application sees them."""

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from quartet_serving import wire_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EXTENSION = "quartet.exchange"
"""The key of the exchange in `extensions` of an ASGI scope."""
ROUTE = "quartet.route"
"""The key in an ASGI scope of the template of the route, which the application sets; none if no route matches."""
HIGH_WATER = 64 * 1024
"""Bytes of a body that wait for the application before reading pauses."""
HEAD_TIMEOUT = 10.0
"""Seconds for the head of a request."""
BODY_TIMEOUT = 10.0
"""Seconds without a byte of a body that the application waits for."""
MIN_BODY_RATE = 1024
"""Minimum rate of a body in bytes per second."""


class Line(Protocol):
    """The interface of a connection to its exchange."""

    def write(self, data: bytes) -> None:
        """Send `data`."""

    async def drain(self) -> None:
        """Wait while the write buffer is full."""

    def pause_reading(self) -> None:
        """Pause reading."""

    def resume_reading(self) -> None:
        """Resume reading."""

    @property
    def is_ending(self) -> bool:
        """Whether the connection closes after the response."""

    @property
    def date(self) -> bytes:
        """The line of the Date header."""


class Stage(Enum):
    """The state of a response."""

    WAITING = auto()
    STARTED = auto()
    """The head is known; it is written with the first part of the body."""
    SENDING = auto()
    COMPLETE = auto()


class Exchange:
    """One request and its response. `keep_alive` says whether another may follow on the connection."""

    def __init__(self, line: Line, scope: dict[str, Any], *, keep_alive: bool, expects: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.is_read = False
        """Whether the whole request has arrived."""
        self._line = line
        self._expects = expects
        self._body = bytearray()
        self._disconnected = False
        self.task: asyncio.Task[None] | None = None
        """The task of the application."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called when the client disconnects before the response is complete."""
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + BODY_TIMEOUT
        self._stage = Stage.WAITING
        self._delivered = False
        self._head = b""
        self._left: int | None = None
        """Bytes of the body still to be sent; None if chunked or ended by closing."""
        self._chunked = False
        self._bodiless = scope["method"] == "HEAD"

    # ---- the request, as it arrives -------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """A piece of the body has arrived."""
        if self._stage is Stage.COMPLETE:
            return  # it will not be read
        self._body += data
        self._due = min(self._due + len(data) / MIN_BODY_RATE, self._loop.time() + BODY_TIMEOUT)
        if len(self._body) > HIGH_WATER:
            self._line.pause_reading()
        self._wake()

    def end(self) -> None:
        """The request is complete."""
        self.is_read = True
        self._wake()

    def disconnect(self) -> None:
        """The client has disconnected: the application receives `http.disconnect`, or a call of `on_disconnect`."""
        self._disconnected = True
        self._wake()
        if self.on_disconnect is not None and not self.is_complete:
            self.on_disconnect()

    def is_late(self, now: float) -> bool:
        """Whether the client sends the body too slowly; only time in which the application waits counts."""
        if self.is_read or self._waiter is None or self._waiter.done():
            self._due = now + BODY_TIMEOUT
        return now > self._due

    def take_whole(self) -> bytes | None:
        """The body if it is complete, else None. The application then does not `receive`, and may set
        `on_disconnect`.
        """
        if not self.is_read or self._delivered or self._disconnected:
            return None
        self._delivered = True
        body, self._body = bytes(self._body), bytearray()
        self._line.resume_reading()
        return body

    async def receive(self) -> dict[str, Any]:
        """The next ASGI message."""
        if self._expects and not self.is_read and not self._disconnected and self._stage is Stage.WAITING:
            self._expects = False
            self._line.write(wire_format.CONTINUE)
        while not (self._is_over or (not self._delivered and (self._body or self.is_read))):
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._is_over:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        self._delivered = self.is_read
        self._line.resume_reading()
        return {"type": "http.request", "body": body, "more_body": not self._delivered}

    @property
    def _is_over(self) -> bool:
        return self._disconnected or self._stage is Stage.COMPLETE

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- the response, as it is sent ------------------------------------------------------------------------------

    @property
    def is_started(self) -> bool:
        """Whether something of the response has been sent."""
        return self._stage in (Stage.SENDING, Stage.COMPLETE)

    @property
    def is_complete(self) -> bool:
        """Whether the whole response has been sent."""
        return self._stage is Stage.COMPLETE

    async def send(self, message: dict[str, Any]) -> None:
        """Take an ASGI message of the response; dropped after a disconnect.

        Raises RuntimeError for a message out of order or a body of the wrong length, ValueError for a header that would
        split the response.
        """
        kind = message["type"]
        if kind == "http.response.start" and self._stage is Stage.WAITING:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self._stage in (Stage.STARTED, Stage.SENDING):
            more = message.get("more_body", False)
            self._send_body(message.get("body", b""), more)
            if more:
                await self._line.drain()
        else:
            raise RuntimeError(f"unexpected ASGI message {kind}")

    def _start(self, status: int, headers: "Iterable[tuple[bytes, bytes]]") -> None:
        kept = []
        self._bodiless = self._bodiless or status in (204, 304)
        for name, value in headers:
            if name == b"content-length":
                if status in (204, 304):
                    continue  # RFC 9110 section 8.6
                self._left = int(value)
            elif name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            kept.append((name, value))
        if self._line.is_ending or not self.is_read:
            self.keep_alive = False
        added = self._line.date
        if self._left is None and not self._bodiless:
            self._chunked = self.scope["http_version"] == "1.1"
            if self._chunked:
                added += wire_format.CHUNKED
            else:
                self.keep_alive = False
        self._head = wire_format.head(status, kept, added if self.keep_alive else added + wire_format.CLOSE)
        self._stage = Stage.STARTED

    def _send_body(self, body: bytes, more: bool) -> None:
        """The end of a head; a complete body is sent in the same write."""
        data = self._framed(body, more)
        if self._stage is Stage.STARTED:
            data = self._head + data
        if data and not self._disconnected:
            self._line.write(data)
        self._stage = Stage.SENDING
        if not more:
            if self._left and not self._bodiless:
                raise RuntimeError("the response is shorter than its Content-Length")
            self._stage = Stage.COMPLETE
            self._wake()

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self._bodiless:
            return b""
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + wire_format.LAST_CHUNK
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the response is longer than its Content-Length")
        return body
