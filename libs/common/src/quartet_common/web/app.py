"""The app factory: everything of a service's HTTP application but its routes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Protocol

from quart import Quart
from quart_schema import Info, QuartSchema

from quartet_common.config.certificates import REFRESH_INTERVAL as CERTIFICATES_INTERVAL
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import (
    UnavailableError,
)
from quartet_common.core.fair_share import FairShare
from quartet_common.core.schedule import Schedule, run_schedule
from quartet_common.data import database_clock
from quartet_common.limits.limiter import EXTENSION as LIMITER
from quartet_common.limits.limiter import Limiter
from quartet_common.limits.redis_sync import INTERVAL as LIMITS_INTERVAL
from quartet_common.messaging import asyncapi
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.readiness import Check, Readiness, database_check
from quartet_common.telemetry.event_loop import EventLoopDelay
from quartet_common.web import memory
from quartet_common.web.blueprints import docs, health
from quartet_common.web.cursors import EXTENSION as CURSORS
from quartet_common.web.cursors import cursor_key
from quartet_common.web.denied_requests import EXTENSION, DeniedRequestLog
from quartet_common.web.dependencies import provide
from quartet_common.web.error_handlers import ErrorRenderer, install_error_handlers
from quartet_common.web.guard import install_guard
from quartet_common.web.idempotency import Responses
from quartet_common.web.openapi import DIALECTS, REFERENCE, Dialect, Document, Published, Reference
from quartet_common.web.service_app import ServiceApp, install_request_hooks
from quartet_common.web.service_request import BYTES_IN_FLIGHT
from quartet_serving.request_metrics import with_request_metrics
from quartet_serving.tasks import end_tasks

REVOCATIONS_INTERVAL = 0.5
"""Seconds between two refreshes of the revocations."""
ORIGINS_INTERVAL = 1.0
"""Seconds between two refreshes of the tenants' origins."""
KEYS_INTERVAL = 5.0
"""Seconds between two checks whether the signing keys must be fetched."""
WAITING_FOR_BYTES = 32
"""Maximum number of requests of one tenant that wait for its share of bytes in flight."""
BYTES_TIMEOUT = 10.0
"""Maximum wait of such a request in seconds."""


class Background(Protocol):
    """A background part of an app, such as the log of denied requests."""

    def start(self) -> None:
        """Start; the container is open."""

    async def stop(self) -> None:
        """Stop; the container is still open."""


def create_base_app(
    container: AppContainer[ServiceConfig],
    *,
    title: str,
    render_error: ErrorRenderer = lambda *_: None,
    other_errors: Sequence[type[Exception]] = (),
    checks: dict[str, Check] | None = None,
    dialects: Sequence[Dialect] = (),
    reference: Reference = Reference(),  # noqa: B008  # it is immutable
    background: Sequence[Background] = (),
    events: Sequence[asyncapi.Schema] = (),
) -> Quart:
    """An application with everything but routes: errors, guard, request ids, health, docs, CORS, limits, headers.

    `other_errors` are exceptions of other libraries that are HttpErrors. `checks` are further conditions of readiness.
    `dialects` describe routes of protocols such as SCIM in the OpenAPI document; `reference` has its examples and
    descriptions. `background` runs as long as the app serves.
    `events` are the schemas of published types that are not in the folder `schemas` of the package.
    """
    config = container.config
    app = ServiceApp(f"quartet_{config.service}", static_folder=None, stopping=container.stopping)
    app.url_map.merge_slashes = False  # it would redirect to the host that the client sent
    app.config["MAX_CONTENT_LENGTH"] = config.max_body_bytes
    app.extensions[BYTES_IN_FLIGHT] = _bytes_in_flight(container)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    limiter = app.extensions[LIMITER] = Limiter(config, lambda: container.redis)
    refusals = DeniedRequestLog(config.service, lambda: container.database, container.clock, config.refusal_window)
    app.extensions[EXTENSION] = refusals
    app.extensions[CURSORS] = cursor_key(config.client_secret.get_secret_value())
    app.extensions[DIALECTS] = dialects
    app.extensions[REFERENCE] = reference
    provide(app, AppContainer, container)
    provide(app, Responses, Responses(config.client_secret.get_secret_value()))
    provide(app, Readiness, Readiness({"postgresql": database_check(container), **(checks or {})}, container.stopping))
    app.register_blueprint(health.blueprint, url_prefix=f"/{config.service}/health")
    app.register_blueprint(docs.blueprint, url_prefix=f"/{config.service}/docs")
    _install_openapi(app, config.service, title)
    _install_asyncapi(app, config.service, title, events)
    app.keep_responses()
    install_request_hooks(app, container.origins)
    install_guard(app, lambda: container.verifier, limiter, lambda: container.client_tokens)
    install_error_handlers(app, refusals, limiter, render_error, other_errors)
    _install_lifespan(app, container, [refusals, *background], limiter)
    measured = with_request_metrics(
        app.asgi_app, f"/{config.service}/health/", exports_spans=bool(config.otlp_endpoint)
    )
    app.asgi_app = measured  # type: ignore[method-assign]  # how Quart documents middleware
    return app


def _bytes_in_flight(container: AppContainer[ServiceConfig]) -> FairShare:
    """The process's memory for bodies and responses; waiting requests hold none."""
    capacity = container.config.max_bytes_in_flight
    share = FairShare("bytes in flight", capacity, capacity // 3, queue=WAITING_FOR_BYTES, timeout=BYTES_TIMEOUT)
    container.shares.append(share)
    return share


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
    app.add_url_rule(f"/{service}/openapi.json", "openapi", Published(schema.openapi_provider.schema).document)


def _install_asyncapi(app: Quart, service: str, title: str, events: Sequence[asyncapi.Schema]) -> None:
    def build() -> dict[str, Any]:
        schemas = [*asyncapi.schemas_of(service), *events]
        return asyncapi.document(service, title, version(f"quartet-{service}"), schemas)

    app.add_url_rule(f"/{service}/asyncapi.json", "asyncapi", Published(build).document)


def _install_lifespan(
    app: ServiceApp, container: AppContainer[ServiceConfig], background: Sequence[Background], limiter: Limiter
) -> None:
    schedules = [
        Schedule("event-loop-delay", 0.0, EventLoopDelay().measure),
        Schedule("memory", memory.INTERVAL, app.memory.release),
        Schedule("limits", LIMITS_INTERVAL, limiter.sync.run_once),
        Schedule("revocations", REVOCATIONS_INTERVAL, container.revocations.refresh),
        Schedule("origins", ORIGINS_INTERVAL, container.origins.refresh),
        Schedule("certificates", CERTIFICATES_INTERVAL, container.certificates.refresh),
        Schedule("keys", KEYS_INTERVAL, container.refresh_keys),
        Schedule("clock", database_clock.INTERVAL, container.set_clock),
    ]
    running: list[asyncio.Task[None]] = []

    async def start() -> None:
        await container.open()
        with suppress(UnavailableError):  # tokens are refused until the revocations are known
            await container.revocations.refresh()
            await container.origins.refresh()
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
