"""HTTP/2 streams: one request and its response, as the ASGI application sees them."""

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from quartet_serving.exchange import HIGH_WATER, Exchange, Stage

Fields = list[tuple[bytes, bytes]]

CONNECTION_SPECIFIC = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""RFC 9113 section 8.2.2."""


class StreamSender(Protocol):
    """The interface of a connection to its streams; defined here to avoid an import cycle."""

    @property
    def date(self) -> bytes:
        """The value of the Date header."""

    def acknowledge(self, stream: "Stream") -> None:
        """Open the client's windows by the size of the body that the application has read."""

    def send(self, stream: "Stream") -> None:
        """Send bytes of `stream.outgoing`."""


class Stream(Exchange):
    """An exchange whose response waits here until the client's windows allow it."""

    def __init__(self, connection: StreamSender, number: int, scope: dict[str, Any]) -> None:
        super().__init__(self, scope, keep_alive=True, expects=False)
        self.number = number
        self.outgoing = bytearray()
        self.unacknowledged = 0
        """Bytes of the body that were read from the client's windows and not returned."""
        self._connection = connection
        self._fields: Fields | None = None
        self._space: asyncio.Future[None] | None = None

    def disconnect(self) -> None:
        """The client has reset the stream, or has disconnected."""
        self.outgoing.clear()
        super().disconnect()
        self.sent()

    def take_fields(self) -> Fields | None:
        """The fields of the response's head, once."""
        fields, self._fields = self._fields, None
        return fields

    def sent(self) -> None:
        """Some of `outgoing` has been sent."""
        if len(self.outgoing) < HIGH_WATER and self._space is not None and not self._space.done():
            self._space.set_result(None)

    # ---- what an exchange asks of its connection ------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """No effect: only frames are written."""

    def pause_reading(self) -> None:
        """No effect: the window stops the client."""

    def resume_reading(self) -> None:
        """The application has read the body so far."""
        self._connection.acknowledge(self)

    async def drain(self) -> None:
        """Wait while `outgoing` is full."""
        if len(self.outgoing) >= HIGH_WATER:
            self._space = asyncio.get_running_loop().create_future()
            await self._space

    @property
    def is_ending(self) -> bool:
        """False: GOAWAY announces the end of the connection, not a response."""
        return False

    @property
    def date(self) -> bytes:
        """The value of the Date header."""
        return self._connection.date

    # ---- the response ---------------------------------------------------------------------------------------------

    def _start(self, status: int, headers: "Iterable[tuple[bytes, bytes]]") -> None:
        self._bodiless = self._bodiless or status in (204, 304)
        self._fields = [(b":status", b"%d" % status)]
        for name, value in headers:
            if b"\n" in value or b"\r" in value or b"\0" in value:
                raise ValueError("a response header contains a line break")
            if name in CONNECTION_SPECIFIC or (name == b"content-length" and status in (204, 304)):
                continue
            if name == b"content-length":
                self._left = int(value)
            self._fields.append((name, value))
        self._fields.append((b"date", self.date))
        self._stage = Stage.STARTED

    def _send_body(self, body: bytes, more: bool) -> None:
        if not self._disconnected:
            self.outgoing += self._framed(body, more)
        self._stage = Stage.SENDING
        if not more:
            if self._left and not self._bodiless:
                raise RuntimeError("the response is shorter than its Content-Length")
            self._stage = Stage.COMPLETE
        self._connection.send(self)
        if not more:
            self._wake()
