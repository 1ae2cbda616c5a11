"""HTTP/1.1 connections: bytes in, requests to the application one after the other, responses out in the same order."""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

import httptools

from quartet_serving import wire_format
from quartet_serving.exchange import EXTENSION, HEAD_TIMEOUT, Exchange
from quartet_serving.request_head import MAX_HEAD, Address, Head

logger = logging.getLogger(__name__)

MAX_WAITING = 32
"""Requests that a client may send before the first response."""
FRAMING = 64
"""Bytes of framing per byte of a chunked body, plus MAX_HEAD: a limit on chunk extensions and trailers."""
LINGER = 2.0
"""Seconds for a client that still sends to read an early response."""

App = Callable[..., Any]


class Open(Protocol):
    """A connection of either protocol, as its server sees it."""

    def close_if_idle(self) -> None:
        """Close the connection unless a request runs; that one closes it."""

    def is_recent(self, seconds: float) -> bool:
        """Whether the connection is idle, for less than `seconds`: a request may be on its way."""

    def close_if_late(self, now: float) -> None:
        """Close the connection if its deadline has passed, by the loop's clock."""

    def abort(self) -> None:
        """Close at once."""


class Host:
    """The state that the connections of one server share. `stopping` makes responses close their connections."""

    def __init__(self, app: App, stopping: asyncio.Event, keep_alive: float) -> None:
        self.app = app
        self.stopping = stopping
        self.keep_alive = keep_alive
        self.closed = False
        self.connections: set[Any] = set()
        """Each is an Open, of either protocol."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.clock = wire_format.Clock()
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        """The context of each new request, without that of the previous one."""
        self._empty: asyncio.Future[None] | None = None

    @property
    def is_ending(self) -> bool:
        """Whether a connection closes after its response."""
        return self.closed or self.stopping.is_set()

    def forget(self, connection: "Open") -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self._empty is not None and not self.connections and not self._empty.done():
            self._empty.set_result(None)

    async def emptied(self) -> None:
        """Wait until no connection is left; called once, at the end."""
        if self.connections:
            self._empty = self.loop.create_future()
            await self._empty


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._client: Address = None
        self._server: Address = None
        self._scheme = "http"
        self._running: Exchange | None = None
        self._arriving: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._refused = 0
        """The status of an unreadable request; nothing after it is read."""
        self._ignoring_input = False
        """Whether input is discarded: the client knows that the connection ends."""
        self._ended = False
        self._held = False
        self._in_head = True
        self._head_due: float | None = None
        """The deadline of the current head, by the loop's clock."""
        self._without_offer = b""
        """The head of a request to upgrade, without the upgrade."""
        self._head = Head()
        self._raw = b""
        """The bytes since the head: the parser does not show the request line as sent."""
        self._raw_from = 0
        """The start of the next request line in it."""
        self._overhead = 0
        self._can_write: asyncio.Future[None] | None = None
        self.deadline: float | None = None
        """The deadline of the connection, by the loop's clock, unless the client still takes written bytes; None while
        a request runs.
        """
        self._unsent = 0
        self._patience_ends = 0.0
        """The deadline of a client that takes nothing of `_unsent` bytes."""

    # ---- the transport's calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._client = address_of(transport.get_extra_info("peername"))
        self._server = address_of(transport.get_extra_info("sockname"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        if self._host.closed:  # stopped during the TLS handshake
            self._transport.abort()
            return
        self._host.connections.add(self)
        self.deadline = self._host.loop.time() + self._host.keep_alive

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is closed, by either side."""
        self._host.forget(self)
        self._ignoring_input = True
        self._waiting.clear()
        self.resume_writing()
        if self._running is not None:
            self._running.disconnect()

    def pause_writing(self) -> None:
        """The write buffer is full."""
        if self._can_write is None:
            self._can_write = self._host.loop.create_future()

    def resume_writing(self) -> None:
        """The write buffer is empty again."""
        if self._can_write is not None:
            self._can_write.set_result(None)
            self._can_write = None
            self._proceed()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        self._overhead += len(data)
        if self._head_due is None:
            self._raw, self._raw_from = data, 0
        else:
            self._raw += data
        while data and not self._ignoring_input and not self._refused:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._raw = self._without_offer + data[upgrade.args[0] :]
                self._raw_from = 0
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserInvalidMethodError:
                return self._refuse(501)
            except httptools.HttpParserCallbackError:
                logger.exception("the parser of requests failed")
                return self._refuse(500)
            except httptools.HttpParserError:
                return self._refuse(400)
            else:
                break
        if self._head_due is None:
            self._raw = b""
        if self._overhead > MAX_HEAD and (self._in_head or self._arriving is not None):
            self._refuse(431 if self._in_head else 400)
        return None

    # ---- the parser's calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._head_due = self._host.loop.time() + HEAD_TIMEOUT
        self._head = Head()

    def on_url(self, piece: bytes) -> None:
        """A piece of the target."""
        self._head.add_target(piece)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers are ignored (RFC 9110 section 6.5.1)."""
        if self._in_head:
            self._head.add(name, value)

    def on_headers_complete(self) -> None:
        """The head of a request is complete: the request can run."""
        self._in_head = False
        self._head_due = None
        self._overhead = 0
        if self._ignoring_input or self._refused:
            return
        version = self._parser.get_http_version()
        method = self._parser.get_method()
        is_exact = self._has_exact_line(method, version)
        if is_exact and self._parser.should_upgrade() and method != b"CONNECT":
            # the upgrade is ignored (RFC 9110 section 7.8), but the parser now reads a body of the other protocol
            self._without_offer = self._head.without_offer(method, version)
            return
        status = self._head.flaw(method, version) or (0 if is_exact else 400)
        if status:
            self._refuse(status)
        elif len(self._waiting) >= MAX_WAITING:
            self._waiting[-1].keep_alive = False
            self._ignoring_input = True
        else:
            self._accept(method, version)

    def _has_exact_line(self, method: bytes, version: str) -> bool:
        """Whether the request line follows RFC 9112 section 3. llhttp also accepts several spaces, and RTSP and ICE for
        HTTP.
        """
        line = self._head.line(method, version)
        if self._raw.startswith(line, self._raw_from):
            self._raw_from += len(line)
            return True
        return self._head.is_only_line(self._raw[self._raw_from :], method)

    def on_body(self, piece: bytes) -> None:
        """A piece of a body."""
        self._overhead -= len(piece) * FRAMING
        if self._arriving is not None:
            self._arriving.feed(piece)

    def on_message_complete(self) -> None:
        """A request has ended."""
        self._overhead = 0
        self._in_head = True
        exchange, self._arriving = self._arriving, None
        if exchange is not None:
            exchange.end()
            self._ignoring_input = self._ignoring_input or not exchange.keep_alive

    # ---- requests -------------------------------------------------------------------------------------------------

    def _accept(self, method: bytes, version: str) -> None:
        scope = self._head.scope(method, version, self._scheme, self._client, self._server)
        keep_alive = version == "1.1" and self._parser.should_keep_alive()
        exchange = Exchange(self, scope, keep_alive=keep_alive, expects=self._head.expects_continue(version))
        scope["extensions"] = {EXTENSION: exchange}
        self._arriving = exchange
        self._waiting.append(exchange)
        if self._running is None:
            self._proceed()
        else:
            self.pause_reading()

    def _proceed(self) -> None:
        """Run the next request if the previous one is complete and the client reads."""
        if self._running is not None or self._can_write is not None or self._ended or self._transport.is_closing():
            return
        if self._waiting:
            exchange = self._running = self._waiting.popleft()
            self.deadline = None
            task = exchange.task = self._host.loop.create_task(self._run(exchange), context=self._host.context.copy())
            self._host.tasks.add(task)
            task.add_done_callback(self._host.tasks.discard)
            self.resume_reading()  # its body may still be incomplete
        elif self._refused:
            self._write_refusal(self._refused)
        else:
            self._resume_reading()

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._host.app(exchange.scope, exchange.receive, exchange.send)
        except Exception:
            logger.exception("the application failed")
        finally:
            self._running = None
            self._after(exchange)

    def _after(self, exchange: Exchange) -> None:
        """The application has finished `exchange`."""
        if self._ended or self._transport.is_closing():
            return
        self.deadline = self._host.loop.time() + self._host.keep_alive
        if exchange.is_complete and (not exchange.keep_alive or self._host.is_ending or not exchange.is_read):
            self._end()
        elif exchange.is_complete:
            self._proceed()
        elif exchange.is_started:
            self._transport.abort()  # the client notices that the response is incomplete
        else:
            self._write_refusal(500)

    # ---- the end --------------------------------------------------------------------------------------------------

    def _refuse(self, status: int) -> None:
        """Send `status` for an unreadable request, after the responses before it."""
        if self._ignoring_input or self._refused:
            return
        self._refused = status
        broken, self._arriving = self._arriving, None
        if broken is not None and broken is self._running:
            broken.disconnect()
            if broken.is_started:
                self._transport.abort()
            elif not broken.is_complete:
                self._write_refusal(status)
        elif broken is not None:
            self._waiting.remove(broken)
        if self._running is None:
            self._proceed()

    def _write_refusal(self, status: int) -> None:
        self._transport.write(wire_format.refusal(status, self.date))
        self._end()

    def _end(self) -> None:
        """Close once everything is sent, and the client has had time to stop sending."""
        self._ignoring_input = self._ended = True
        self._waiting.clear()
        self.deadline = self._host.loop.time() + LINGER  # also for a TLS client without a close_notify
        if self._arriving is None and not self._refused:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._resume_reading()

    def close_if_idle(self) -> None:
        """Close unless a request runs or waits: its response closes the connection then."""
        if self._running is None and not self._waiting and not self._ended:
            self._ignoring_input = self._ended = True
            self.deadline = self._host.loop.time() + LINGER
            self._transport.close()

    def is_recent(self, seconds: float) -> bool:
        """Whether the connection is idle, for less than `seconds`: a request may be on its way."""
        idle = self.deadline is not None and not self._ended
        return idle and self._host.loop.time() < cast(float, self.deadline) - self._host.keep_alive + seconds

    def close_if_late(self, now: float) -> None:
        """Refuse a request that arrives too slowly; close at the deadline, if the client has everything or takes
        nothing more.
        """
        if self._is_slow(now):
            self._head_due = None  # or the deadline below would never be checked
            return self._refuse(408)
        if self.deadline is None or now <= self.deadline:
            return None
        unsent = wire_format.unsent(self._transport)
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self._patience_ends = now + self._host.keep_alive
        if unsent and now < self._patience_ends:
            self.deadline = now + (LINGER if self._ended else self._host.keep_alive)
        else:
            self._transport.abort()
        return None

    def _is_slow(self, now: float) -> bool:
        """Whether a head, or a body that the application waits for, is late."""
        if self._running is not None:
            return self._running is self._arriving and self._arriving.is_late(now)
        if self._head_due is None or self._held:
            self._head_due = None if self._head_due is None else now + HEAD_TIMEOUT
            return False
        return now > self._head_due

    def abort(self) -> None:
        """Abort the connection."""
        self._transport.abort()

    # ---- what an exchange asks for --------------------------------------------------------------------------------

    @property
    def is_ending(self) -> bool:
        """Whether the connection closes after the response."""
        return self._host.is_ending

    @property
    def date(self) -> bytes:
        """The line of the Date header."""
        return self._host.clock.line()

    def write(self, data: bytes) -> None:
        """Send `data`."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the write buffer is full."""
        if self._can_write is not None:
            await asyncio.shield(self._can_write)

    def pause_reading(self) -> None:
        """Pause reading."""
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading, unless requests wait."""
        if not self._waiting:
            self._resume_reading()

    def _resume_reading(self) -> None:
        if self._held and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()


def address_of(found: Any) -> Address:
    """Host and port from an address of a transport; None for a socket without them."""
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None
