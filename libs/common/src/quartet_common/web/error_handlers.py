"""Error handlers: errors as problem documents (RFC 9457), or as error documents of a protocol such as SCIM."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from quart import Quart, Response, g, request
from werkzeug.exceptions import HTTPException

from quartet_common.core.errors import (
    PROBLEM_TYPE,
    ContendedError,
    ForbiddenError,
    LimitedError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
    code_of,
    problem,
    title_of,
)
from quartet_common.core.fair_share import CapacityExceededError
from quartet_common.limits.limiter import SECRET, TOKEN, Limiter
from quartet_common.web.denied_requests import DeniedRequestLog
from quartet_common.web.guard import caller, sends_a_secret, source_address

logger = logging.getLogger(__name__)


class HttpError(Protocol):
    """An error with an HTTP status and a text for people: ServiceError, and those of other libraries."""

    status: int
    detail: str


ErrorRenderer = Callable[[HttpError, str], "tuple[bytes, str] | None"]
"""The body and content type of an error on a path of a protocol, or None for a problem document."""

DETAILS = {
    404: "No resource at this path.",
    405: "This path does not support this method.",
}


def install_error_handlers(
    app: Quart,
    refusals: DeniedRequestLog,
    limiter: Limiter,
    render_error: ErrorRenderer,
    other_errors: Sequence[type[Exception]],
) -> None:
    async def service_error(error: ServiceError) -> Response:
        if isinstance(error, UnauthorizedError):
            refusals.unauthenticated(source_address(), error.reason, request.method, request.path)
            if error.is_guess:
                limiter.failed(source_address(), SECRET if sends_a_secret(request, app) else TOKEN)
        if isinstance(error, LimitedError):
            refusals.limited(g.get("principal"), source_address(), error.limit, request.method, request.path)
            limiter.count_refusal(error)
        if isinstance(error, ForbiddenError):
            await refusals.forbidden(caller(), request.method, request.path, error.scope)
        if isinstance(error, CapacityExceededError):
            logger.warning("capacity exceeded", extra={"resource": error.resource})
        elif isinstance(error, UnavailableError):
            logger.warning("server unavailable", extra={"server": error.server, "error": repr(error.__cause__)[:300]})
        if isinstance(error, ContendedError):
            logger.warning("transaction conflict", extra={"server": error.server, "error": str(error.__cause__)})
        return _render(error, render_error)

    async def http_error(error: HTTPException) -> Response:
        return _render(_from_http(error), render_error)

    async def unexpected(error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error)
        return _render(
            ServiceError(500, "internal_error", "Internal server error. The server's log has the cause."), render_error
        )

    async def other_error(error: Any) -> Response:
        return _render(error, render_error)

    for kind in other_errors:
        app.register_error_handler(kind, other_error)
    app.register_error_handler(ServiceError, service_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unexpected)


def _from_http(error: HTTPException) -> ServiceError:
    status = error.code or 500
    headers = {}
    valid = getattr(error, "valid_methods", None)
    if valid:
        headers["Allow"] = ", ".join(sorted(valid))
    detail = DETAILS.get(status) or error.description or title_of(status)
    return ServiceError(status, code_of(status), detail, headers)


def _render(error: HttpError, render_error: ErrorRenderer) -> Response:
    title = title_of(error.status)
    headers = error.headers if isinstance(error, ServiceError) else {}
    code = error.code if isinstance(error, ServiceError) else code_of(error.status)
    rendered = render_error(error, request.path)
    body, content_type = rendered or (problem(error.status, code, error.detail, title), PROBLEM_TYPE)
    return Response(body, error.status, headers=headers, content_type=content_type)
