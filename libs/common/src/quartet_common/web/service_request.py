"""Requests: body and response are limited and charged to the tenant's share of memory."""

from collections.abc import AsyncIterator, Hashable
from functools import cached_property
from typing import Any, cast

from quart import Request, current_app, g, request
from werkzeug.datastructures import MultiDict

from quartet_common.core.errors import BadRequestError, BodyTooLargeError
from quartet_common.core.fair_share import HOLDER, FairShare
from quartet_common.web.bodies import SMALL_BODY, body_limit
from quartet_common.web.memory import LARGE_REQUEST
from quartet_serving.percent import parse_form
from quartet_serving.request import DeferredBody, ServedRequest

BYTES_IN_FLIGHT = "quartet_bytes_in_flight"
"""The key of the FairShare of bytes of bodies and responses in `app.extensions`."""
FREE_BYTES = 64 * 1024
"""Size of a body or response up to which it is not charged."""
BODY_WEIGHT = 7
"""Bytes charged for a byte of a body: the JSON of an ordinary Bulk takes 6.1 to 6.5 times its size in memory."""
MAX_PARAMETERS = 100
"""Maximum number of query parameters."""


class ServiceBody(DeferredBody):
    """A body with the limit of its route."""

    def too_large(self, limit: int) -> Exception:
        """413 with the limit."""
        return BodyTooLargeError(limit)


class ServiceRequest(ServedRequest):
    """A request whose body and response are limited, and charged to its tenant's share of the process's memory."""

    body_class = ServiceBody
    body: ServiceBody
    is_internal = False
    """Whether another service sent the request: its own client waits already, so a 429 response does not pause."""
    bytes_held = 0
    """Bytes of its tenant's share that the request holds (see `hold_bytes`)."""
    is_large = False
    """Whether the request has held more than LARGE_REQUEST bytes."""
    _share: FairShare | None = None
    _holder: Hashable = None

    @cached_property
    def max_body(self) -> int:
        """Maximum size of the body in bytes, once the route is known."""
        view = current_app.view_functions.get(self.endpoint or "")
        limit = SMALL_BODY if view is None else body_limit(view)
        whole: int = current_app.config["MAX_CONTENT_LENGTH"]
        return min(limit, whole)

    async def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """The body. Raises BodyTooLargeError (413), and what `hold_bytes` raises for a body of more than FREE_BYTES."""
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
        return await super().get_data(cache, as_text, parse_form_data)

    async def hold_bytes(self, amount: int, *, at_once: bool = False) -> None:
        """Hold at least `amount` bytes of the tenant's share until the response is sent.

        A waiting request holds none: requests that hold a part and wait for more would wait for each other. `at_once`:
        for a request that cannot release its bytes; take the others without waiting. Raises ShareExceededError (429),
        CapacityExceededError (503).
        """
        if amount <= self.bytes_held:
            return
        if self._share is None:
            self._share = current_app.extensions.get(BYTES_IN_FLIGHT)
            self._holder = HOLDER.get()
        if self._share is None or self.bytes_held >= self._share.share:  # at most a share
            return
        if at_once:
            missing = min(amount, self._share.share) - self.bytes_held
            self.bytes_held += self._share.take(self._holder, missing)
        else:
            self.release_bytes()
            self.bytes_held = await self._share.acquire(self._holder, amount)
        self.is_large = self.is_large or self.bytes_held > LARGE_REQUEST

    def release_bytes(self, kept: int = 0) -> None:
        """Release the bytes that the request holds, but for `kept` of them."""
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


def running_request() -> Request:
    """The running request without Quart's proxy, whose look-ups are slow."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy


async def hold_bytes(amount: int, *, at_once: bool = False) -> None:
    """Hold `amount` bytes for the running request; see `ServiceRequest.hold_bytes`."""
    running = running_request()
    if isinstance(running, ServiceRequest):
        await running.hold_bytes(amount, at_once=at_once)


def body_pieces(limit: int) -> AsyncIterator[bytes]:
    """The body of the running request in pieces while it arrives; few of them are in memory at a time.

    Raises BodyTooLargeError (413): before the first piece, if the client has said the size.
    """
    running = cast(ServiceRequest, running_request())
    sent = running.content_length
    if sent is not None and sent > limit:
        raise BodyTooLargeError(limit)
    return running.body.pieces(limit)


def stop_on_disconnect() -> None:
    """Cancel the running request when its client disconnects, or has already.

    For requests by an unsafe method that change nothing, such as a search by POST.
    """
    cast(ServiceRequest, running_request()).stop_on_disconnect()


def running_globals() -> Any:
    """Quart's `g` of the running request, without the proxy."""
    return g._get_current_object()  # of the proxy
