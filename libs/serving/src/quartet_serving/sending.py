"""Sending a response: headers as ASGI has them, large bodies in slices, and at the rate at which a client must read."""

import asyncio
from functools import lru_cache
from typing import Any

from hypercorn.typing import ASGISendCallable, HTTPResponseStartEvent
from quart import Response
from quart.wrappers.response import DataBody
from werkzeug.datastructures import Headers

MIN_READ_RATE = 16 * 1024
"""Bytes per second of a streamed response that a client has to read."""
STALL = 10.0
"""Seconds that a client may read more slowly than that, all in all, until it has caught up."""
SLICE = 64 * 1024
"""Bytes of a response that are handed to the connection at a time."""


async def send_slices(send: ASGISendCallable, body: DataBody) -> None:
    """Send a large body in slices: what the client has not taken stays in `body`, and does not become a copy in the
    buffers of the connection.
    """
    for begin in range(body.begin, body.end, SLICE):
        end = min(begin + SLICE, body.end)
        await send({"type": "http.response.body", "body": body.data[begin:end], "more_body": end < body.end})


def response_start(response: Any) -> HTTPResponseStartEvent:
    """The ASGI message that begins `response`."""
    return {"type": "http.response.start", "status": response.status_code, "headers": _encoded(response.headers)}


class SlowClientError(Exception):
    """A client reads a response more slowly than MIN_READ_RATE for longer than STALL, or than its route allows."""


def at_min_rate(send: ASGISendCallable) -> ASGISendCallable:
    """`send` that raises SlowClientError. Only the time counts that the client takes, not what makes the response."""
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
    """A header's name as it is sent; there are few."""
    return name.lower().encode()


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(_name(name), value.encode()) for name, value in headers]


def add_headers(response: Response, added: list[tuple[str, str]]) -> None:
    """Add headers that are made here and are text: what Werkzeug would look for in each takes 10 us for all of them.

    What would split the response is refused where it is written.
    """
    response.headers._list += added
