"""Responses: headers for ASGI, large bodies in slices, and the minimum rate of reading clients."""

import asyncio
from functools import lru_cache
from typing import Any

from hypercorn.typing import ASGISendCallable, HTTPResponseStartEvent
from quart import Response
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers

MIN_READ_RATE = 16 * 1024
"""Minimum rate of a client that reads a streamed response, in bytes per second."""
STALL = 10.0
"""Seconds, in total, that a client may read more slowly, until it has caught up."""
SMALL = 64 * 1024
"""Bytes of a response that is sent at once: the buffers of a connection may have as many."""
SLICE = 128 * 1024
"""Bytes of a larger response that are passed to the connection at a time: the more, the less often client and server
wait for each other.
"""


async def send_slices(send: ASGISendCallable, body: DataBody) -> None:
    """Send a large body in slices: unread bytes stay in `body` and are not copied to the buffers of the connection."""
    for begin in range(body.begin, body.end, SLICE):
        end = min(begin + SLICE, body.end)
        await send({"type": "http.response.body", "body": body.data[begin:end], "more_body": end < body.end})


def response_start(response: Any) -> HTTPResponseStartEvent:
    """The ASGI message that begins `response`."""
    return {"type": "http.response.start", "status": response.status_code, "headers": _encoded(response.headers)}


class SlowClientError(Exception):
    """A client reads a response more slowly than MIN_READ_RATE for longer than STALL, or than its route allows."""


def at_min_rate(send: ASGISendCallable) -> ASGISendCallable:
    """`send` that raises SlowClientError. Only the time of the client counts, not that of producing the response."""
    left, clock = STALL, asyncio.get_running_loop().time

    async def send_piece(message: Any) -> None:
        nonlocal left
        started, allowed = clock(), left + len(message.get("body", b"")) / MIN_READ_RATE
        try:
            async with asyncio.timeout(allowed):
                await send(message)
        except TimeoutError:
            raise SlowClientError from None
        left = min(STALL, allowed - (clock() - started))

    return send_piece


@lru_cache(256)
def _name(name: str) -> bytes:
    """A header's name as bytes; cached, since there are few."""
    return name.lower().encode()


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(_name(name), value.encode()) for name, value in headers]


def add_headers(response: Response, added: list[tuple[str, str]]) -> None:
    """Add our own headers, which are text: Werkzeug's checks take 10 us for all of them.

    A line break is refused when they are written.
    """
    response.headers._list += added
