"""The app factory: what every service's HTTP application has, whatever its routes are."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Protocol

from quart import Quart, Request, Response, g, request
from quart_cors import cors
from quart_schema import Info, QuartSchema
from werkzeug.exceptions import HTTPException

from quartet_common import clocks, memory
from quartet_common.asgi import ServiceApp
from quartet_common.auth.guard import brings_a_secret, install_guard, source_address
from quartet_common.auth.opaque import hide
from quartet_common.auth.principal import Principal
from quartet_common.blueprints.docs import docs_blueprint
from quartet_common.blueprints.health import health_blueprint
from quartet_common.config import ServiceConfig
from quartet_common.container import AppContainer
from quartet_common.cursors import EXTENSION as CURSORS
from quartet_common.cursors import cursor_key
from quartet_common.errors import (
    PROBLEM_TYPE,
    BadRequestError,
    ContendedError,
    ForbiddenError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
    code_of,
    problem,
    title_of,
)
from quartet_common.fair_share import CapacityExceededError, FairShare
from quartet_common.ids import new_id_text
from quartet_common.limits.errors import LimitedError
from quartet_common.limits.limiter import EXTENSION as LIMITER
from quartet_common.limits.limiter import SECRET, TOKEN, Limiter
from quartet_common.limits.sums import INTERVAL as LIMITS_INTERVAL
from quartet_common.logs import begin_context
from quartet_common.observed import observed
from quartet_common.openapi import DIALECTS, REFERENCE, Dialect, Document, Published, Reference
from quartet_common.readiness import Check
from quartet_common.refusals import EXTENSION, RefusalLog
from quartet_common.schedule import Schedule, run_schedule
from quartet_common.sending import add_headers
from quartet_common.service_request import BYTES_IN_FLIGHT, running_globals, running_request
from quartet_common.tasks import end_tasks
from quartet_common.tls import REFRESH_INTERVAL as CERTIFICATES_INTERVAL

logger = logging.getLogger(__name__)

REVOCATIONS_INTERVAL = 0.5
"""Seconds between two looks at what was revoked."""
KEYS_INTERVAL = 5.0
"""Seconds between two looks whether the keys of tokens are to be asked for anew."""
WAITING_FOR_BYTES = 32
"""Requests of one tenant that may wait for its share of bytes in flight."""
BYTES_TIMEOUT = 10.0
"""Seconds that one of them may wait."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
BY_LOWER_NAME = {name.lower(): (name, value) for name, value in SECURITY_HEADERS.items()}

EXPOSED = (
    "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id",
)  # fmt: skip
"""What pages of listed origins may read beside what every page may."""


class HttpError(Protocol):
    """An error with an HTTP status and a sentence for people: ServiceError, and those of other libraries."""

    status: int
    detail: str


class Background(Protocol):
    """What works beside the requests of an app, with its container open."""

    def start(self) -> None:
        """Begin; the container is open."""

    async def stop(self) -> None:
        """Finish; the container is open still."""


ErrorRenderer = Callable[[HttpError, str], "tuple[bytes, str] | None"]
"""Gives body and content type of an error on a path of its own protocol, or None for a problem document."""

DETAILS = {
    404: "No resource at this path.",
    405: "This path does not support this method.",
}


def create_base_app(
    container: AppContainer[ServiceConfig],
    *,
    title: str,
    public: frozenset[str] = frozenset(),
    render_error: ErrorRenderer = lambda *_: None,
    other_errors: Sequence[type[Exception]] = (),
    checks: dict[str, Check] | None = None,
    dialects: Sequence[Dialect] = (),
    reference: Reference = Reference(),  # noqa: B008  # it is immutable
    background: Sequence[Background] = (),
) -> Quart:
    """An application with everything but routes: errors, guard, request ids, health, docs, CORS, limits, headers.

    `public` names the endpoints that need no token, beside health and docs. `other_errors` are exceptions of other
    libraries that are HttpErrors. `checks` names further things that must answer before the service is ready.
    `dialects` say in the OpenAPI document how routes speak that do not speak as all do; `reference` has its examples
    and descriptions. `background` runs as long as
    the app serves.
    """
    config = container.config
    app = ServiceApp(f"quartet_{config.service}", static_folder=None, stopping=container.stopping)
    app.url_map.merge_slashes = False  # it would redirect, to whatever host the client has named
    app.config["MAX_CONTENT_LENGTH"] = config.max_body_bytes
    app.extensions[BYTES_IN_FLIGHT] = _bytes_in_flight(container)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    limiter = app.extensions[LIMITER] = Limiter(config, lambda: container.redis)
    refusals = RefusalLog(config.service, lambda: container.database, container.clock, config.refusal_window)
    app.extensions[EXTENSION] = refusals
    app.extensions[CURSORS] = cursor_key(config.client_secret.get_secret_value())
    app.extensions[DIALECTS] = dialects
    app.extensions[REFERENCE] = reference
    health = health_blueprint(container, checks or {})
    docs = docs_blueprint(config.service)
    app.register_blueprint(health, url_prefix=f"/{config.service}/health")
    app.register_blueprint(docs, url_prefix=f"/{config.service}/docs")
    _install_openapi(app, config.service, title)
    app.keep_responses()
    _install_request_hooks(app)
    # the names of blueprints and endpoints: "health.live", ...
    always = frozenset({"health.live", "health.ready", "docs.page", "docs.asset", "openapi"})
    # whoever asks for health ends or passes over what does not answer
    install_guard(app, lambda: container.verifier, public | always, limiter, frozenset({"health.live", "health.ready"}))
    _install_errors(app, refusals, limiter, render_error, other_errors)
    _install_lifespan(app, container, [refusals, *background], limiter)
    app.asgi_app = observed(app.asgi_app, config)  # type: ignore[method-assign]  # how Quart documents middleware
    return _with_origins(app, config.cors_origins)


def _bytes_in_flight(container: AppContainer[ServiceConfig]) -> FairShare:
    """The process's memory for bodies and responses; what waits for it holds none."""
    capacity = container.config.max_bytes_in_flight
    share = FairShare("bytes in flight", capacity, capacity // 3, queue=WAITING_FOR_BYTES, timeout=BYTES_TIMEOUT)
    container.shares.append(share)
    return share


def _with_origins(app: Quart, origins: Sequence[str]) -> Quart:
    """Let pages of `origins` call, and read what they are told. There are no cookies, so no credentials are let in: who
    asks is in a header that no page of another origin can make a browser send.
    """
    return cors(app, allow_origin=origins, expose_headers=EXPOSED, max_age=600) if origins else app


def _install_openapi(app: Quart, service: str, title: str) -> None:
    schema = QuartSchema(
        app,
        openapi_path=None,
        swagger_ui_path=None,
        redoc_ui_path=None,
        scalar_ui_path=None,
        info=Info(title=title, version=version(f"quartet-{service}")),
        security_schemes={"bearer": {"type": "http", "scheme": "bearer", "bearer_format": "JWT"}},
        security=[{"bearer": []}],
        openapi_provider_class=Document,
    )
    app.add_url_rule(f"/{service}/openapi.json", "openapi", Published(schema.openapi_provider).openapi)


def _install_request_hooks(app: Quart) -> None:
    async def begin() -> None:
        known = running_globals()
        known.started = time.perf_counter()
        asked = running_request()
        sent = asked.headers.get("X-Request-Id", "")
        known.request_id = sent if REQUEST_ID.fullmatch(sent) else new_id_text()
        begin_context(request_id=known.request_id)
        if "\x00" in asked.path or b"%00" in asked.query_string:
            raise BadRequestError("The URL contains a NUL character (%00). Remove it.", "bad_address")

    async def finish(response: Response) -> Response:
        known = running_globals()
        added = [("X-Request-Id", known.get("request_id", ""))]
        said = known.get("limits")
        if said is not None:
            added += [("RateLimit-Policy", said[0]), ("RateLimit", said[1])]
        present = {name.lower() for name, _ in response.headers}
        added += [header for lower, header in BY_LOWER_NAME.items() if lower not in present]
        add_headers(response, added)
        _log_request(running_request(), response, known.get("started"))
        return response

    app.before_request(begin)
    app.after_request(finish)


def _log_request(asked: Request, response: Response, started: float | None) -> None:
    now = time.perf_counter()
    logger.info(
        "request",
        extra={
            "method": asked.method,
            "path": hide(asked.path),
            "status": response.status_code,
            "ms": round((now - (started or now)) * 1000, 2),
        },
    )


def _install_errors(
    app: Quart,
    refusals: RefusalLog,
    limiter: Limiter,
    render_error: ErrorRenderer,
    other_errors: Sequence[type[Exception]],
) -> None:
    async def service_error(error: ServiceError) -> Response:
        if isinstance(error, UnauthorizedError):
            refusals.unauthenticated(source_address(), error.reason, request.method, request.path)
            if error.is_guess:
                limiter.failed(source_address(), SECRET if brings_a_secret(request, app) else TOKEN)
        if isinstance(error, LimitedError):
            refusals.limited(g.get("principal"), source_address(), error.limit, request.method, request.path)
            limiter.count_refusal(error)
        if isinstance(error, ForbiddenError):
            who: Principal = g.principal
            await refusals.forbidden(who, source_address(), request.method, request.path, error.scope)
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


def _install_lifespan(
    app: ServiceApp, container: AppContainer[ServiceConfig], background: Sequence[Background], limiter: Limiter
) -> None:
    schedules = [
        Schedule("memory", memory.INTERVAL, app.memory.give_back),
        Schedule("limits", LIMITS_INTERVAL, limiter.sums.add_up),
        Schedule("revocations", REVOCATIONS_INTERVAL, container.revocations.refresh),
        Schedule("certificates", CERTIFICATES_INTERVAL, container.certificates.refresh),
        Schedule("keys", KEYS_INTERVAL, container.refresh_keys),
        Schedule("clock", clocks.INTERVAL, container.set_clock),
    ]
    running: list[asyncio.Task[None]] = []

    async def start() -> None:
        await container.open()
        with suppress(UnavailableError):  # nobody who needs a token gets in before it is known who is to be refused
            await container.revocations.refresh()
            await container.set_clock()
        await container.warm_up()
        running.extend(asyncio.get_running_loop().create_task(run_schedule(one)) for one in schedules)
        for each in background:
            each.start()

    async def stop() -> None:
        try:
            await end_tasks(running)
            for each in background:
                await each.stop()
        finally:
            await container.close()

    app.before_serving(start)
    app.after_serving(stop)
