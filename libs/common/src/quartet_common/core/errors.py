"""Errors: exceptions that carry a status and a code, and their rendering as RFC 9457 problem details."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import orjson

PROBLEM_TYPE = "application/problem+json"

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
"""The names of error statuses (RFC 9110 section 15, RFC 6585). Those of http.HTTPStatus differ between versions of
Python.
"""
CODES = {413: "request_entity_too_large", 422: "unprocessable_entity"}
"""Codes that are not derived from TITLES; kept for clients, which have received them since before RFC 9110."""


def title_of(status: int) -> str:
    """The title of an error document for `status`."""
    return TITLES.get(status, "Error")


def code_of(status: int) -> str:
    """The default code of an error with this HTTP status. The same on every version of Python."""
    return CODES.get(status) or title_of(status).lower().replace(" ", "_")


@dataclass(eq=False)  # exceptions are compared by identity and must stay hashable
class ServiceError(Exception):
    """An error response. `code` is stable and machine-readable, `detail` is for people."""

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"


class BadRequestError(ServiceError):
    """400: the request is invalid."""

    def __init__(self, detail: str, code: str = "bad_request") -> None:
        super().__init__(400, code, detail)


class BodyTooLargeError(ServiceError):
    """413: the body of the request exceeds `limit` bytes (RFC 9110 section 15.5.14)."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, code_of(413), f"The body is larger than {limit} bytes, the limit of this path.")
        self.limit = limit


class NotFoundError(ServiceError):
    """404: the tenant has no such resource."""

    def __init__(self, detail: str = "There is no such resource.") -> None:
        super().__init__(404, "not_found", detail)


class UnavailableError(ServiceError):
    """503 with Retry-After: a server or another service does not answer, or has the given `problem`."""

    def __init__(self, server: str, retry_after: int = 1, problem: str = "is unavailable") -> None:
        super().__init__(
            503,
            f"{server}_unavailable",
            f"{server} {problem}. Try again later.",
            {"Retry-After": str(retry_after)},
        )
        self.server = server
        self.problem = problem


class ContendedError(ServiceError):
    """503 with Retry-After: `server` rolled the transaction back in favour of another one."""

    def __init__(self, server: str, retry_after: int = 1) -> None:
        super().__init__(
            503,
            f"{server}_contended",
            "Another request changed the same data at the same time. Try again.",
            {"Retry-After": str(retry_after)},
        )
        self.server = server


class HeldError(ContendedError):
    """503 with Retry-After: another transaction holds a lock; nothing was done. `data.wait_queue` waits for it."""


ISSUED_BY_US_REASONS = frozenset({
    "expired", "not_yet_valid", "revoked", "tenant_suspended", "wrong_issuer", "wrong_audience", "lives_too_long",
    "missing_claims",
})  # fmt: skip
"""Why a token is refused that has our signature, or was valid once: its sender does not guess tokens."""


_MALFORMED = ("token_malformed", "The access token is malformed. Send it as issued: Authorization: Bearer <token>.")
_INVALID = ("token_invalid", "The access token is not valid. Request a new one.")
TOKEN_ERRORS = {
    "missing": ("token_missing", "An access token is required. Send it as: Authorization: Bearer <token>."),
    "malformed": _MALFORMED,
    "too_long": _MALFORMED,
    "expired": ("token_expired", "The access token expired. Request a new one."),
    "revoked": ("token_revoked", "The access token was revoked. Request a new one."),
    "tenant_suspended": ("tenant_suspended", "The tenant is suspended. Its tokens are refused until it is resumed."),
}
"""Code and detail of a 401 by its reason. Details are given only about syntax and about tokens with our signature (or
SCIM tokens that we know). All other reasons give `token_invalid`, so that forgers learn nothing.
"""


class UnauthorizedError(ServiceError):
    """401 with WWW-Authenticate (RFC 6750 section 3). `reason` is for the audit log; the client gets the `detail`, or
    that of TOKEN_ERRORS for the reason, also as `error_description`.
    """

    def __init__(self, reason: str, detail: str | None = None) -> None:
        code, described = TOKEN_ERRORS.get(reason, _INVALID)
        detail = detail or described
        challenge = 'Bearer realm="quartet"'
        if reason != "missing":  # RFC 6750 section 3.1: a request without a token gets no error code
            challenge += f', error="invalid_token", error_description="{detail}"'
        super().__init__(401, code, detail, {"WWW-Authenticate": challenge})
        self.reason = reason

    @property
    def is_guess(self) -> bool:
        """Whether the client may be guessing a token or a secret: it sent one, and not one that was valid once."""
        return self.reason != "missing" and self.reason not in ISSUED_BY_US_REASONS


class ForbiddenError(ServiceError):
    """403: the token is valid but lacks `scope` (RFC 6750 section 3.1); `challenge` is one sufficient scope, of
    several. A text in parentheses is no scope that a client could request.
    """

    def __init__(self, scope: str, challenge: str | None = None, detail: str | None = None) -> None:
        detail = detail or f"The access token lacks the scope {scope}."
        named = "" if scope.startswith("(") else f', scope="{challenge or scope}"'
        challenge = f'Bearer realm="quartet", error="insufficient_scope"{named}'
        super().__init__(403, "insufficient_scope", detail, {"WWW-Authenticate": challenge})
        self.scope = scope


class MissingScopesError(ForbiddenError):
    """403: the change affects `target` (a user or group), which holds scopes that the access token lacks."""

    def __init__(self, target: str, missing: Collection[str]) -> None:
        named = sorted(missing)
        detail = f"{target} holds scopes that the access token lacks: {', '.join(named)}. Use a token with them."
        super().__init__(" ".join(named), detail=detail)


def problem(status: int, code: str, detail: str, title: str) -> bytes:
    """The problem document of RFC 9457 section 3 as JSON bytes; `code` is an extension member."""
    document: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return orjson.dumps(document)


class LimitedError(ServiceError):
    """429 with Retry-After (RFC 6585 section 4): `limit` names the limit, `wait` is in whole seconds."""

    def __init__(
        self,
        limit: str,
        wait: int,
        detail: str = "Too many requests. Wait as long as Retry-After says, then try again.",
    ) -> None:
        super().__init__(429, "too_many_requests", detail, {"Retry-After": str(wait)})
        self.limit = limit
