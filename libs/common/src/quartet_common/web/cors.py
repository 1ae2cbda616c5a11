"""CORS: which pages of other origins may send requests and read responses (Fetch standard, section 3.3)."""

import re

from quart import Quart, Request, Response

from quartet_common.auth.origin_list import OriginList
from quartet_common.web.service_request import running_globals, running_request
from quartet_serving.sending import add_headers

EXPOSED = ", ".join((
    "ETag", "Idempotency-Replayed", "Link", "Location", "Quartet-Event", "RateLimit", "RateLimit-Policy", "Retry-After",
    "WWW-Authenticate", "X-Request-Id",
))  # fmt: skip
"""Headers that pages of allowed origins may read, besides the safelisted ones."""
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
MAX_AGE = "600"
"""Seconds for which a browser may keep the answer to a preflight."""
NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
"""A list of header names (RFC 9110 section 5.6.1)."""


def install_cors(app: Quart, origins: OriginList) -> None:
    """Add CORS headers to every response of `app`, also to errors.

    Never Access-Control-Allow-Credentials: tokens are in a header, which no browser adds to a request on its own.
    """

    async def add(response: Response) -> Response:
        request = running_request()
        add_headers(response, [("Vary", "Origin")])  # a shared cache must not give it to another origin
        sent = request.headers.getlist("Origin")
        if len(sent) == 1:
            add_headers(response, _permission(origins, request, sent[0]))
        return response

    app.after_request(add)


def _permission(origins: OriginList, request: Request, origin: str) -> list[tuple[str, str]]:
    """The headers that allow `origin` to read the response; none if its pages must not.

    A preflight has no token and so no tenant, as a login, and a 401.
    """
    principal = running_globals().get("principal")
    allowed = origins.allowed(origin, None if principal is None else principal.tenant)
    if allowed is None:
        return []
    permission = [("Access-Control-Allow-Origin", allowed), ("Access-Control-Expose-Headers", EXPOSED)]
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        permission += [("Access-Control-Allow-Methods", METHODS), ("Access-Control-Max-Age", MAX_AGE)]
        names = request.headers.get("Access-Control-Request-Headers", "")
        if NAMES.fullmatch(names):
            permission.append(("Access-Control-Allow-Headers", names))
    return permission
