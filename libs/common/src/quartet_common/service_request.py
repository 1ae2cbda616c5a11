"""A request: its headers, and its body and response, which are limited and charged to its tenant's share of memory."""

import asyncio
from collections.abc import Hashable, Iterable
from functools import cached_property, lru_cache
from typing import Any, cast

from quart import Request, current_app, g, request
from quart.wrappers.request import Body
from werkzeug.datastructures import Headers, ImmutableHeadersMixin, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from quartet_common.bodies import SMALL_BODY, body_limit
from quartet_common.errors import BadRequestError, BodyTooLargeError
from quartet_common.fair_share import HOLDER, FairShare
from quartet_common.memory import LARGE_REQUEST
from quartet_common.percent import parse_form

BYTES_IN_FLIGHT = "quartet_bytes_in_flight"
"""Where an app's extensions hold the FairShare of the bytes of bodies and responses."""
FREE_BYTES = 64 * 1024
"""Bytes up to which a body or a response is not charged."""
BODY_WEIGHT = 7
"""Bytes charged for a byte of a body: the JSON of an ordinary Bulk takes 6.1 to 6.5 times its size in memory."""
MAX_PARAMETERS = 100
"""Parameters that a query string may have."""


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


class ServiceBody(Body):
    """A body that is read from the connection once a view wants it, and no further than its route allows."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        del expected_content_length  # what is too large by its head is refused by `ServiceRequest.get_data`
        super().__init__(None, max_content_length)
        self.wanted: asyncio.Event | None = None
        """Set when a view takes the body; until then it stays in the buffers of the connection. None where it came
        with the head."""

    @property
    def is_complete(self) -> bool:
        """Whether awaiting it would not wait."""
        return self._complete.is_set()

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return len(self._data)

    def read_up_to(self, limit: int) -> None:
        """Begin to read; a longer body is dropped, and awaiting it raises BodyTooLargeError."""
        self._max_content_length = limit
        if self.wanted is not None:
            self.wanted.set()

    def append(self, data: bytes) -> None:
        """Take a piece of the body."""
        super().append(data)
        if isinstance(self._must_raise, RequestEntityTooLarge):
            self._must_raise = BodyTooLargeError(self._max_content_length or 0)
            self._data.clear()


class ServiceRequest(Request):
    """A request whose body and response are limited, and charged to its tenant's share of the process's memory.

    It finds the names of its blueprints once for all requests of a route.
    """

    body_class = ServiceBody
    body: ServiceBody
    bytes_held = 0
    """Bytes of its tenant's share that the request holds (see `hold_bytes`)."""
    is_large = False
    """Whether the request has held more than LARGE_REQUEST bytes of its tenant's share."""
    _share: FairShare | None = None
    _holder: Hashable = None
    handler: "asyncio.Task[Any] | None" = None
    """What handles the request."""
    stops = True
    """Whether the request ends when its client disconnects; see `stop_on_disconnect`."""
    is_abandoned = False
    """Whether its client has disconnected."""

    @property
    def max_body(self) -> int:
        """Bytes that the body may have."""
        view = current_app.view_functions.get(self.endpoint or "")
        limit = SMALL_BODY if view is None else body_limit(view)
        whole: int = current_app.config["MAX_CONTENT_LENGTH"]
        return min(limit, whole)

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
        """The body. What is complete needs no watch over the time that it takes.

        Raises BodyTooLargeError (413), and what `hold_bytes` raises for a body of more than FREE_BYTES.
        """
        limit, body = self.max_body, self.body
        if body.is_complete:
            expected = body.size
        else:
            sent = self.content_length
            expected = limit if sent is None else sent
        if expected > limit:
            raise BodyTooLargeError(limit)
        if expected > FREE_BYTES:
            await self.hold_bytes(expected * BODY_WEIGHT)
        body.read_up_to(limit)
        if as_text or parse_form_data or not body.is_complete:
            return await super().get_data(cache, as_text, parse_form_data)
        data = await body
        if not cache:
            body.clear()
        return data

    async def hold_bytes(self, amount: int, *, at_once: bool = False) -> None:
        """Have the request hold at least `amount` bytes of its tenant's share until it is answered.

        A request that waits holds none: requests that hold a part and wait for the rest would wait for each other.
        `at_once`: for one that cannot give back what it holds; take the rest without waiting. Raises
        ShareExceededError (429), CapacityExceededError (503).
        """
        if amount <= self.bytes_held:
            return
        if self._share is None:
            self._share = current_app.extensions.get(BYTES_IN_FLIGHT)
            self._holder = HOLDER.get()
        if self._share is None or self.bytes_held >= self._share.share:  # nobody gets more than a share
            return
        if at_once:
            missing = min(amount, self._share.share) - self.bytes_held
            self.bytes_held += self._share.take(self._holder, missing)
        else:
            self.release_bytes()
            self.bytes_held = await self._share.acquire(self._holder, amount)
        self.is_large = self.is_large or self.bytes_held > LARGE_REQUEST

    def release_bytes(self, kept: int = 0) -> None:
        """Give back the bytes that the request holds, but for `kept` of them."""
        surplus = self.bytes_held - kept
        if surplus > 0 and self._share is not None:
            self.bytes_held = kept
            self._share.release(self._holder, surplus)

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the query string. Raises BadRequestError beyond MAX_PARAMETERS."""
        if self.query_string.count(b"&") >= MAX_PARAMETERS:
            raise BadRequestError(f"The URL has more than {MAX_PARAMETERS} query parameters.")
        return MultiDict(parse_form(self.query_string))

    @property
    def blueprints(self) -> list[str]:
        """The blueprints of the route, the innermost first."""
        return list(_blueprints(self.endpoint)) if self.endpoint else []


@lru_cache(1024)
def _blueprints(endpoint: str) -> tuple[str, ...]:
    """`a.b` and `a` for the endpoint `a.b.view`; endpoints are routes, so there are few."""
    parts = endpoint.split(".")[:-1]
    return tuple(".".join(parts[:length]) for length in range(len(parts), 0, -1))


def running_request() -> Request:
    """The request that runs, itself: each look through Quart's proxy costs as much as a look into a dictionary."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy


async def hold_bytes(amount: int, *, at_once: bool = False) -> None:
    """Have the request that runs hold `amount` bytes of its tenant's share; see `ServiceRequest.hold_bytes`."""
    asked = running_request()
    if isinstance(asked, ServiceRequest):
        await asked.hold_bytes(amount, at_once=at_once)


def stop_on_disconnect() -> None:
    """Have the running request end when its client disconnects, at once if it has: only the client needs its result.

    For requests that are not by a safe method but change nothing, as a search by POST.
    """
    cast(ServiceRequest, running_request()).stop_on_disconnect()


def running_globals() -> Any:
    """Quart's `g` of the request that runs, itself."""
    return g._get_current_object()  # of the proxy
