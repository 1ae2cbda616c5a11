"""A request: its body and response, which are limited and charged to its tenant's share of memory."""

from collections.abc import Hashable
from functools import cached_property
from typing import Any, cast

from quart import Request, current_app, g, request
from werkzeug.datastructures import MultiDict

from quartet_common.core.errors import BadRequestError, BodyTooLargeError
from quartet_common.core.fair_share import HOLDER, FairShare
from quartet_common.web.bodies import LIMIT_ATTRIBUTE, SMALL_BODY
from quartet_common.web.memory import LARGE_REQUEST
from quartet_serving.percent import parse_form
from quartet_serving.request import DeferredBody, ServedRequest

BYTES_IN_FLIGHT = "quartet_bytes_in_flight"
"""Where an app's extensions hold the FairShare of the bytes of bodies and responses."""
FREE_BYTES = 64 * 1024
"""Bytes up to which a body or a response is not charged."""
BODY_WEIGHT = 7
"""Bytes charged for a byte of a body: the JSON of an ordinary Bulk takes 6.1 to 6.5 times its size in memory."""
MAX_PARAMETERS = 100
"""Parameters that a query string may have."""


class ServiceBody(DeferredBody):
    """A body whose limit is that of its route."""

    def too_large(self, limit: int) -> Exception:
        """413 that names the limit."""
        return BodyTooLargeError(limit)


class ServiceRequest(ServedRequest):
    """A request whose body and response are limited, and charged to its tenant's share of the process's memory."""

    body_class = ServiceBody
    body: ServiceBody
    bytes_held = 0
    """Bytes of its tenant's share that the request holds (see `hold_bytes`)."""
    is_large = False
    """Whether the request has held more than LARGE_REQUEST bytes of its tenant's share."""
    _share: FairShare | None = None
    _holder: Hashable = None

    @property
    def max_body(self) -> int:
        """Bytes that the body may have."""
        view = current_app.view_functions.get(self.endpoint or "")
        limit = getattr(view, LIMIT_ATTRIBUTE, SMALL_BODY)
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
