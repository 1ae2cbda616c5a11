"""An exchange: one request and its response, as the ASGI application sees them."""

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

from quartet_serving import wire_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EXTENSION = "quartet.exchange"
"""Where an ASGI scope has the exchange itself."""
HIGH_WATER = 64 * 1024
"""Bytes of a body that wait for the application before nothing more is read."""
HEAD_TIMEOUT = 10.0
"""Seconds in which the head of a request must be complete."""
BODY_TIMEOUT = 10.0
"""Seconds for which the application waits for a body of which nothing arrives."""
MIN_BODY_RATE = 1024
"""Bytes per second that a body must have over longer times."""


class Line(Protocol):
    """What an exchange asks of its connection."""

    def write(self, data: bytes) -> None:
        """Send `data`."""

    async def drained(self) -> None:
        """Wait while the client reads too slowly."""

    def hold(self) -> None:
        """Read nothing more for now."""

    def go_on(self) -> None:
        """Read again."""

    @property
    def is_ending(self) -> bool:
        """Whether the connection is not to be used again."""

    @property
    def date(self) -> bytes:
        """The line of the Date header."""


class Stage(Enum):
    """How far a response is."""

    WAITING = auto()
    STARTED = auto()
    """The application has said what the head is; it is written with the first of the body."""
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
        """Runs the application."""
        self.on_disconnect: Callable[[], None] | None = None
        """Called when the client disconnects before the response is complete."""
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + BODY_TIMEOUT
        self._stage = Stage.WAITING
        self._delivered = False
        self._head = b""
        self._left: int | None = None
        """Bytes of the body that the response still owes; None while chunked or ended by closing."""
        self._chunked = False
        self._bodiless = scope["method"] == "HEAD"

    # ---- the request, as it arrives -------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """A piece of the body has arrived."""
        if self._stage is Stage.COMPLETE:
            return  # nobody will read it
        self._body += data
        self._due = min(self._due + len(data) / MIN_BODY_RATE, self._loop.time() + BODY_TIMEOUT)
        if len(self._body) > HIGH_WATER:
            self._line.hold()
        self._wake()

    def end(self) -> None:
        """The request has arrived whole."""
        self.is_read = True
        self._wake()

    def disconnect(self) -> None:
        """The client has disconnected: the application receives `http.disconnect`, or a call of `on_disconnect`."""
        self._disconnected = True
        self._wake()
        if self.on_disconnect is not None and not self.is_complete:
            self.on_disconnect()

    def is_late(self, now: float) -> bool:
        """Whether the client sends the body too slowly; only the time counts in which the application waits for it."""
        if self.is_read or self._waiter is None or self._waiter.done():
            self._due = now + BODY_TIMEOUT
        return now > self._due

    def take_whole(self) -> bytes | None:
        """The body, if all of it is there: the application then need not `receive`, and sets `on_disconnect` if it is
        to know of a disconnect. None while some of it is still to come.
        """
        if not self.is_read or self._delivered or self._disconnected:
            return None
        self._delivered = True
        body, self._body = bytes(self._body), bytearray()
        self._line.go_on()
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
        self._line.go_on()
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
        """Take an ASGI message of the response; what comes after a disconnect is dropped.

        Raises RuntimeError for a message out of its turn or a body that is not as long as was said, ValueError for a
        header that would split the response.
        """
        kind = message["type"]
        if kind == "http.response.start" and self._stage is Stage.WAITING:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self._stage in (Stage.STARTED, Stage.SENDING):
            more = message.get("more_body", False)
            self._send_body(message.get("body", b""), more)
            if more:
                await self._line.drained()
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
        """Head and body go out in one write where there is no more to come."""
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
