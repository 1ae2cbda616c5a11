"""Quart's request: its headers, found by a dictionary, and its body, read from the connection when a view wants it."""

import asyncio
from collections.abc import Generator, Iterable
from functools import lru_cache
from typing import Any

from quart import Request
from quart.wrappers.request import Body
from werkzeug.datastructures import Headers, ImmutableHeadersMixin
from werkzeug.exceptions import RequestEntityTooLarge


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


class DeferredBody(Body):
    """A body that is read from the connection once a view wants it, and no further than a limit.

    Nothing of Quart's Body is used but its name, so that it works the same with every version of Quart.
    """

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        del expected_content_length  # what is too large by its head is refused by the request
        self.wanted: asyncio.Event | None = None
        """Set when a view takes the body; until then it stays in the buffers of the connection. None where it came
        with the head."""
        self._limit = max_content_length
        self._received = bytearray()
        self._end = asyncio.Event()
        self._error: Exception | None = None

    @property
    def is_complete(self) -> bool:
        """Whether awaiting it would not wait."""
        return self._end.is_set()

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return len(self._received)

    def read_up_to(self, limit: int | None) -> None:
        """Begin to read; a longer body is dropped, and awaiting it raises `too_large`. None for no limit."""
        self._limit = limit
        if self.wanted is not None:
            self.wanted.set()

    def too_large(self, limit: int) -> Exception:
        """The error of a body of more than `limit` bytes."""
        del limit
        return RequestEntityTooLarge()

    def append(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self._error is not None:
            return
        self._received += data
        if self._limit is not None and len(self._received) > self._limit:
            self._error = self.too_large(self._limit)
            self._received.clear()
            self._end.set()

    def set_complete(self) -> None:
        """The whole body has arrived."""
        self._end.set()

    def set_result(self, data: bytes) -> None:
        """Take the whole body."""
        self.append(data)
        self._end.set()

    def clear(self) -> None:
        """Drop what has arrived."""
        self._received.clear()

    def __await__(self) -> Generator[Any, None, Any]:
        if self.wanted is not None:
            self.wanted.set()
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
    """A request that reads its body when a view wants it, and knows whether it ends when its client disconnects.

    It finds the names of its blueprints once for all requests of a route.
    """

    body_class = DeferredBody
    body: DeferredBody
    handler: "asyncio.Task[Any] | None" = None
    """Runs the view."""
    stops = True
    """Whether the request ends when its client disconnects."""
    is_abandoned = False
    """Whether its client has disconnected."""

    @property
    def max_body(self) -> int | None:
        """Bytes that the body may have; None for no limit."""
        return self.max_content_length

    def abandon(self) -> None:
        """The client has disconnected: cancel the request, unless it is to be finished and has arrived whole."""
        self.is_abandoned = True
        if self.handler is not None and (self.stops or not self.body.is_complete):
            self.handler.cancel()

    def stop_on_disconnect(self) -> None:
        """From now on end when the client disconnects, at once if it has: only the client needs the result."""
        self.stops = True
        if self.is_abandoned:
            self.abandon()

    async def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """The body. What is complete needs no watch over the time that it takes. Raises what `too_large` gives."""
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
    """`a.b` and `a` for the endpoint `a.b.view`; endpoints are routes, so there are few."""
    parts = endpoint.split(".")[:-1]
    return tuple(".".join(parts[:length]) for length in range(len(parts), 0, -1))
