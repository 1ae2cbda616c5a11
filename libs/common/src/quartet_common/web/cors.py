"""CORS: which pages of other origins may send requests and read responses (Fetch standard, section 3.3)."""

import re

from quart import Request

from quartet_common.auth.origin_list import OriginList
from quartet_common.web.service_request import running_globals

EXPOSED = ", ".join((
    "ETag", "Idempotency-Replayed", "Link", "Location", "Quartet-Event", "RateLimit", "RateLimit-Policy", "Retry-After",
    "WWW-Authenticate", "X-Request-Id",
))  # fmt: skip
"""Headers that pages of allowed origins may read, besides the safelisted ones."""
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
VARY = ("Vary", "Origin")
"""A shared cache must not give the response to another origin."""
MAX_AGE = "600"
"""Seconds for which a browser may keep the answer to a preflight."""
NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
"""A list of header names (RFC 9110 section 5.6.1)."""


def cors_headers(origins: OriginList, request: Request) -> list[tuple[str, str]]:
    """The CORS headers of the response to `request`, also of an error.

    Never Access-Control-Allow-Credentials: tokens are in a header, which no browser adds to a request on its own.
    """
    sent = request.headers.getlist("Origin")
    return [VARY, *_permission(origins, request, sent[0])] if len(sent) == 1 else [VARY]


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
