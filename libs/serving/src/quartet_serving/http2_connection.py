"""HTTP/2 connections: frames in, concurrent streams to the application, responses out as the windows allow."""

import asyncio
import logging
from contextlib import suppress
from typing import cast

import h2.events
import h2.exceptions
from h2.errors import ErrorCodes

from quartet_serving import wire_format
from quartet_serving.exchange import EXTENSION, HEAD_TIMEOUT, MIN_BODY_RATE
from quartet_serving.http1_connection import LINGER, Host, address_of
from quartet_serving.http2_frames import MAX_STREAMS, STREAM_WINDOW, FramedConnection
from quartet_serving.http2_stream import Stream
from quartet_serving.request_head import Address, Head

logger = logging.getLogger(__name__)


class Http2Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._h2 = FramedConnection()
        self._transport: asyncio.Transport
        self._client: Address = None
        self._server: Address = None
        self._streams: dict[int, Stream] = {}
        """Streams that are not complete."""
        self._running = 0
        """Requests that the application handles, also of reset streams."""
        self._paused = False
        self._closing = False
        self._deadline: float | None = None
        """The deadline of an idle connection; None while streams are open."""
        self._frame_due: float | None = None
        """The deadline of an incomplete frame or header block; None if there is none. DATA frames may arrive at
        MIN_BODY_RATE.
        """
        self._unsent = 0
        self._patience_ends = 0.0

    # ---- the transport's calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected and chosen HTTP/2."""
        self._transport = cast(asyncio.Transport, transport)
        self._client = address_of(transport.get_extra_info("peername"))
        self._server = address_of(transport.get_extra_info("sockname"))
        self._host.connections.add(self)
        self._deadline = self._now + self._host.keep_alive
        self._h2.initiate_connection()
        # a window for all streams: one that the application does not read does not stop the others
        self._h2.increment_flow_control_window((MAX_STREAMS - 1) * STREAM_WINDOW)
        self._flush()

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is closed, by either side."""
        self._host.forget(self)
        self._closing = True
        for stream in list(self._streams.values()):
            stream.disconnect()
        self._streams.clear()

    def pause_writing(self) -> None:
        """The write buffer is full: pause reading too, since many frames need a response."""
        self._paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The write buffer is empty again."""
        self._paused = False
        if not self._closing:
            self._transport.resume_reading()
            self._pump()

    def data_received(self, data: bytes) -> None:
        """Bytes of frames."""
        frames = self._h2.frames
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            logger.info("an HTTP/2 connection was refused", extra={"error": f"{type(error).__name__}: {error}"[:200]})
            self._close(announced=True)
            return
        if not self._h2.is_unfinished:
            self._frame_due = None
        elif self._frame_due is None or self._h2.frames != frames:
            self._frame_due = self._now + HEAD_TIMEOUT
        elif self._h2.is_in_data:
            self._frame_due = min(self._frame_due + len(data) / MIN_BODY_RATE, self._now + HEAD_TIMEOUT)
        for event in events:
            self._take(event)
        self._pump()

    # ---- frames ---------------------------------------------------------------------------------------------------

    def _take(self, event: h2.events.Event) -> None:
        if self._closing:
            return
        if isinstance(event, h2.events.RequestReceived):
            self._accept(event)
        elif isinstance(event, h2.events.DataReceived):
            self._feed(event)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.end()
        elif isinstance(event, h2.events.StreamReset):
            self._drop(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._close(announced=True)

    def _accept(self, event: h2.events.RequestReceived) -> None:
        number = event.stream_id
        if self._running >= MAX_STREAMS or self._host.closed:
            with suppress(h2.exceptions.StreamClosedError):  # reset in the same packet
                self._h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)  # nothing was done (RFC 9113 section 8.7)
            return
        self._deadline = None
        method, head = _head(event.headers)
        scheme = "https" if self._transport.get_extra_info("ssl_object") else "http"
        scope = head.scope(method, "2", scheme, self._client, self._server)
        stream = self._streams[number] = Stream(self, number, scope)
        scope["extensions"] = {EXTENSION: stream}
        if event.stream_ended is not None:
            stream.end()
        status = head.flaw(method, "2") or (0 if head.is_path(method) else 400)
        if status:
            self._refuse(stream, status)
            return
        self._running += 1
        task = self._host.loop.create_task(self._run(stream), context=self._host.context.copy())
        self._host.tasks.add(task)
        task.add_done_callback(self._host.tasks.discard)

    def _feed(self, event: h2.events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            return
        stream.unacknowledged += event.flow_controlled_length
        stream.feed(event.data)

    def _drop(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._return_credit(stream)
            stream.disconnect()
            self._after_stream()

    async def _run(self, stream: Stream) -> None:
        try:
            await self._host.app(stream.scope, stream.receive, stream.send)
        except Exception:
            logger.exception("the application failed")
        finally:
            self._running -= 1
            self._after(stream)

    def _after(self, stream: Stream) -> None:
        """The application has finished `stream`."""
        if stream.is_complete or stream.number not in self._streams:
            return
        if stream.is_started:
            self._reset(stream, ErrorCodes.INTERNAL_ERROR)  # the client notices that the response is incomplete
        else:
            self._refuse(stream, 500)

    def _refuse(self, stream: Stream, status: int) -> None:
        """Respond with a problem document instead of the application, which receives a disconnect."""
        with suppress(h2.exceptions.StreamClosedError):  # the client has reset it in the same packet
            self._send_refusal(stream, status)
        self._drop(stream.number)
        self._flush()

    def _send_refusal(self, stream: Stream, status: int) -> None:
        headers, body = wire_format.refusal_parts(status)
        fields = [(b":status", b"%d" % status), *headers, (b"date", self.date)]
        has_room = self._h2.local_flow_control_window(stream.number) >= len(body)
        is_head = stream.scope["method"] == "HEAD"
        self._h2.send_headers(stream.number, fields, end_stream=is_head)
        if not is_head and has_room:
            self._h2.send_data(stream.number, body, end_stream=True)
        if not stream.is_read or not (is_head or has_room):
            self._h2.reset_stream(stream.number, ErrorCodes.NO_ERROR)

    def _reset(self, stream: Stream, code: ErrorCodes) -> None:
        self._h2.reset_stream(stream.number, code)
        self._drop(stream.number)
        self._flush()

    # ---- what streams ask for -------------------------------------------------------------------------------------

    @property
    def date(self) -> bytes:
        """The value of the Date header."""
        return self._host.clock.value()

    def acknowledge(self, stream: Stream) -> None:
        """Open the client's windows by the size of the body that the application has read."""
        if not self._closing and stream.unacknowledged:
            self._return_credit(stream)
            self._flush()

    def _return_credit(self, stream: Stream) -> None:
        size, stream.unacknowledged = stream.unacknowledged, 0
        if size:
            self._h2.acknowledge_received_data(size, stream.number)

    def send(self, stream: Stream) -> None:
        """Send the head of the response if it is new, and as much of its body as the windows allow."""
        if self._closing or stream.number not in self._streams:
            return
        fields = stream.take_fields()
        ends = stream.is_complete and not stream.outgoing
        if fields is not None:
            self._h2.send_headers(stream.number, fields, end_stream=ends)
        elif ends:
            self._h2.end_stream(stream.number)
        if ends:
            self._finish(stream)
        self._pump()

    # ---- sending --------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send a frame of each stream in turn until the windows or the write buffer are full."""
        moved = True
        while moved and not self._paused and not self._closing:
            moved = False
            for stream in list(self._streams.values()):
                moved |= self._send_some(stream)
            self._flush()
        self._flush()

    def _send_some(self, stream: Stream) -> bool:
        if not stream.outgoing:
            return False
        size = min(self._h2.local_flow_control_window(stream.number), self._h2.max_outbound_frame_size)
        if size <= 0:
            return False
        piece = bytes(stream.outgoing[:size])
        del stream.outgoing[:size]
        ends = stream.is_complete and not stream.outgoing
        self._h2.send_data(stream.number, piece, end_stream=ends)
        if ends:
            self._finish(stream)
        stream.sent()
        return True

    def _finish(self, stream: Stream) -> None:
        """The response is sent. Ask a client that still sends its body to stop (RFC 9113 section 8.1)."""
        del self._streams[stream.number]
        self._return_credit(stream)
        if not stream.is_read:
            self._h2.reset_stream(stream.number, ErrorCodes.NO_ERROR)
        self._after_stream()

    def _after_stream(self) -> None:
        if not self._streams:
            self._deadline = self._now + self._host.keep_alive
            if self._host.is_ending:
                self._close()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    # ---- the end --------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return self._host.loop.time()

    def _close(self, *, announced: bool = False) -> None:
        """Send GOAWAY once and close; the client has LINGER seconds to read."""
        if self._closing:
            return
        self._closing = True
        for stream in list(self._streams.values()):
            stream.disconnect()
        self._streams.clear()
        if not announced:
            self._h2.close_connection()
        self._flush()
        self._deadline = self._now + LINGER
        self._transport.close()

    def is_recent(self, _: float) -> bool:
        """Never: GOAWAY says which requests were not processed, and clients send these again (RFC 9113 section 6.8)."""
        return False

    def close_if_idle(self) -> None:
        """Close if no stream is open, else after the last one. GOAWAY is not sent before: after it, clients that use h2
        receive nothing more.
        """
        if not self._streams:
            self._close()

    def close_if_late(self, now: float) -> None:
        """Close the connection of a client that is idle, or sends or reads too slowly."""
        due = [one for one in (self._deadline, self._frame_due) if one is not None]
        if due and now > min(due):
            return self._transport.abort() if self._closing else self._close()
        for stream in [one for one in self._streams.values() if one.is_late(now)]:
            if stream.is_started:
                self._reset(stream, ErrorCodes.CANCEL)
            else:
                self._refuse(stream, 408)
        return self._give_up_reader(now)

    def _give_up_reader(self, now: float) -> None:
        unsent = wire_format.unsent(self._transport) + sum(len(stream.outgoing) for stream in self._streams.values())
        if not unsent or unsent != self._unsent:
            self._unsent = unsent
            self._patience_ends = now + self._host.keep_alive
        elif now > self._patience_ends:
            self._transport.abort()

    def abort(self) -> None:
        """Abort the connection."""
        self._transport.abort()


def _head(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, Head]:
    """Method and head of a request; h2 has checked that the pseudo-headers occur once, and first."""
    head, method, authority = Head(), b"", None
    for name, value in headers:
        if name == b":method":
            method = value
        elif name == b":path":
            head.add_target(value)
        elif name == b":authority":
            authority = value
        elif not name.startswith(b":"):
            head.add(name, value)
    if authority is not None and not any(name == b"host" for name, _ in head.headers):
        head.headers.insert(0, (b"host", authority))
    return method, head
