"""Requests for Quart: headers in a dictionary, and a body that is read when a view needs it."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable
from functools import lru_cache
from typing import Any

from quart import Request
from quart.wrappers.request import Body
from werkzeug.datastructures import Headers, ImmutableHeadersMixin
from werkzeug.exceptions import RequestEntityTooLarge

MAX_WAITING = 256 * 1024
"""Bytes of a streamed body that wait for the view before reading pauses."""


class ReceivedHeaders(ImmutableHeadersMixin, Headers):  # type: ignore[misc]  # as werkzeug's own EnvironHeaders does it
    """The headers of a request: immutable, in a dictionary, since they are looked up many times.

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
        return super()._get_key(key) if found is None else found  # raises KeyError as Werkzeug does

    def get(self, key: str, default: Any = None, type: Any = None) -> Any:  # type: ignore[override]  # noqa: A002  # werkzeug's overloads and names
        """The first value of a header."""
        found = self._first.get(key.lower())
        if found is None or type is None:
            return default if found is None else found
        return super().get(key, default, type)


class DeferredBody(Body):
    """A body that is read when a view needs it, up to a limit: as a whole, or in pieces while it arrives.

    Only the name of Quart's Body is used, so that it works with every version of Quart.
    """

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        del expected_content_length  # the request refuses a body that is too large by its Content-Length
        self.requested: asyncio.Event | None = None
        """Set when a view awaits the body; until then it stays in the buffers of the connection. None if it arrived
        with the head.
        """
        self._limit = max_content_length
        self._received = bytearray()
        self._end = asyncio.Event()
        self._error: Exception | None = None
        self._is_streamed = False
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def is_complete(self) -> bool:
        """Whether it can be awaited without waiting."""
        return self._end.is_set()

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return len(self._received)

    def read_up_to(self, limit: int | None) -> None:
        """Begin to read; a longer body is dropped, and awaiting it raises `too_large`. None for no limit."""
        self._limit = limit
        if self.requested is not None:
            self.requested.set()

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body in pieces while it arrives; reading pauses while MAX_WAITING bytes are not taken.

        Raises the error of `too_large` behind the limit.
        """
        self._is_streamed, size = True, 0
        self.read_up_to(None)
        self._changed.set()
        is_complete = False
        while not is_complete:
            await self._changed.wait()
            self._changed.clear()
            is_complete, data = self.is_complete, bytes(self._received)
            self.clear()
            self._taken.set()
            size += len(data)
            if size > limit:
                raise self.too_large(limit)
            if data:
                yield data

    async def has_room(self) -> None:
        """Wait until a streamed body may have more bytes; a body that is read as a whole has its limit instead."""
        while self._is_streamed and len(self._received) > MAX_WAITING:
            self._taken.clear()
            await self._taken.wait()

    def too_large(self, limit: int) -> Exception:
        """The error of a body of more than `limit` bytes."""
        del limit
        return RequestEntityTooLarge()

    def append(self, data: bytes) -> None:
        """Add a piece of the body."""
        if self._error is not None:
            return
        self._received += data
        if self._limit is not None and len(self._received) > self._limit:
            self._error = self.too_large(self._limit)
            self._received.clear()
            self._end.set()
        self._changed.set()

    def set_complete(self) -> None:
        """The body is complete."""
        self._end.set()
        self._changed.set()

    def set_result(self, data: bytes) -> None:
        """Set the whole body."""
        self.append(data)
        self.set_complete()

    def clear(self) -> None:
        """Drop the received bytes."""
        self._received.clear()

    def __await__(self) -> Generator[Any, None, Any]:
        if self.requested is not None:
            self.requested.set()
        yield from self._end.wait().__await__()
        if self._error is not None:
            raise self._error
        return bytes(self._received)

    async def __anext__(self) -> bytes:
        data: bytes = await self
        self.clear()
        if not data:
            raise StopAsyncIteration
        return data


class ServedRequest(Request):
    """A request that reads its body when a view needs it, and that may end when its client disconnects.

    It looks up the names of its blueprints once for all requests of a route.
    """

    body_class = DeferredBody
    body: DeferredBody
    handler: "asyncio.Task[Any] | None" = None
    """The task of the view."""
    stops = True
    """Whether the request is cancelled when its client disconnects."""
    is_abandoned = False
    """Whether its client has disconnected."""

    @property
    def max_body(self) -> int | None:
        """Maximum size of the body in bytes; None for no limit."""
        return self.max_content_length

    def abandon(self) -> None:
        """The client has disconnected: cancel the request, unless it must be finished and is complete."""
        self.is_abandoned = True
        if self.handler is not None and (self.stops or not self.body.is_complete):
            self.handler.cancel()

    def stop_on_disconnect(self) -> None:
        """Cancel the request when the client disconnects, or has already: only the client needs the result."""
        self.stops = True
        if self.is_abandoned:
            self.abandon()

    async def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """The body; a complete one needs no timeout. Raises the error of `too_large`."""
        body = self.body
        body.read_up_to(self.max_body)
        if as_text or parse_form_data or not body.is_complete:
            return await super().get_data(cache, as_text, parse_form_data)
        data = await body
        if not cache:
            body.clear()
        return data

    @property
    def blueprints(self) -> list[str]:
        """The blueprints of the route, the innermost first."""
        return list(_blueprints(self.endpoint)) if self.endpoint else []


@lru_cache(1024)
def _blueprints(endpoint: str) -> tuple[str, ...]:
    """`a.b` and `a` for the endpoint `a.b.view`; cached, since endpoints are few."""
    parts = endpoint.split(".")[:-1]
    return tuple(".".join(parts[:length]) for length in range(len(parts), 0, -1))
