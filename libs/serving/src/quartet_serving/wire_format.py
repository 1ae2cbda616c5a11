"""The wire format: status lines, the Date header, and the responses to unreadable requests."""

import asyncio
import fcntl
import json
import sys
import termios
import time
from email.utils import formatdate
from http import HTTPStatus

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"

STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}


def _problem(status: int, title: str, detail: str) -> bytes:
    code = title.lower().replace(" ", "_")
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return json.dumps(document, separators=(",", ":")).encode("ascii")


REFUSALS = {
    400: _problem(400, "Bad Request", "The request is not valid HTTP."),
    408: _problem(408, "Request Timeout", "The request arrived too slowly."),
    431: _problem(431, "Request Header Fields Too Large", "The request line and headers are too large."),
    500: _problem(500, "Internal Server Error", "Internal server error. The server's log has the cause."),
    501: _problem(501, "Not Implemented", "The method or the transfer coding of the request is not supported."),
    505: _problem(505, "HTTP Version Not Supported", "Use HTTP/1.1."),
}
"""Problem documents (RFC 9457 section 3) for requests that no application handles."""


def status_line(status: int) -> bytes:
    """The first line of a response."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Clock:
    """The Date header of the running second (RFC 9110 section 6.6.1)."""

    def __init__(self) -> None:
        self._second = 0
        self._value = self._line = b""

    def line(self) -> bytes:
        """The header's line."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._value = formatdate(second, usegmt=True).encode("ascii")
            self._line = b"date: %s\r\n" % self._value
        return self._line

    def value(self) -> bytes:
        """The header's value."""
        self.line()
        return self._value


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that were written and have not reached the client.

    Includes the system's queue: the transport of TLS does not report the buffers below it.
    """
    waiting = transport.get_write_buffer_size()
    connected = transport.get_extra_info("socket")
    if connected is None:  # uvloop's TLS transport has ended; connection_lost follows in the next iteration of the loop
        return waiting
    try:
        queued = fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # it is closed already
        return waiting
    return waiting + int.from_bytes(queued, sys.byteorder)


def refusal_parts(status: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the response to a request that no application handles: a problem document."""
    body = REFUSALS[status]
    return [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))], body


def refusal(status: int, date: bytes) -> bytes:
    """The same as a complete HTTP/1.1 response that closes the connection."""
    headers, body = refusal_parts(status)
    return head(status, headers, date + CLOSE) + body


def head(status: int, headers: list[tuple[bytes, bytes]], added: bytes) -> bytes:
    """Status line and headers of a response, then the lines `added`, then the empty line.

    Raises ValueError if a header contains a line break, which could split the response.
    """
    lines = [status_line(status)]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    text = b"".join(lines)
    if text.count(b"\n") != len(headers) + 1 or text.count(b"\r") != len(headers) + 1:
        raise ValueError("a response header contains a line break")
    return text + added + b"\r\n"
