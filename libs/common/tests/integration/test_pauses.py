"""Answers 429 to a client that repeats refused requests: they wait, hold nothing, and end with their client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from quart import Quart, Response, request

from quartet_common.config.rate_limit import Limit
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.fair_share import FairShare, ShareExceededError
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service
from quartet_common.web import pauses
from quartet_common.web.app import create_base_app
from quartet_common.web.bodies import ANY_SIZE, takes
from quartet_common.web.guard import requires
from quartet_common.web.service_app import ServiceApp
from quartet_common.web.service_request import BYTES_IN_FLIGHT
from quartet_testing.conditions import eventually
from quartet_testing.services import RunningService, new_tenant, serve_service

FREE, MORE = 3, 4
"""Answers without a pause; the others that a test asks for."""
LONG = 3600
"""Seconds that no test outlives."""
LARGE = 100_000
"""Bytes of a body that is charged to its tenant's share."""


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    """An app with a route that is refused at once, one that is refused when the body was read, and one that is not."""
    app = create_base_app(container, title="Common")

    @app.route("/common/refused", methods=["GET", "POST"])
    @requires("users:read")
    @takes(ANY_SIZE)
    async def refused() -> Response:
        if "unread" not in request.args:
            await request.get_data()
        raise ShareExceededError("units")

    @app.get("/common/served")
    @requires("users:read")
    async def served() -> str:
        return "served"

    return app


@pytest.fixture
def limits() -> dict[str, Any]:
    """Settings of the service; tests replace them."""
    return {}


@pytest.fixture
async def service(
    config: ServiceConfig, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> AsyncIterator[RunningService]:
    """A service that answers few refusals without a pause, and whose pauses never time out."""
    monkeypatch.setattr(pauses, "AT_ONCE", Limit(FREE, LONG))
    monkeypatch.setattr(pauses, "PAUSE", LONG)
    made = Service(
        package="quartet_common", config_class=type(config), create_app=create_app, subscriptions=lambda _: []
    )
    async with serve_service(made, config.model_copy(update=limits)) as running:
        yield running


def ask(service: RunningService, tenant: str, path: str, count: int = 1) -> list[asyncio.Task[Response]]:
    headers = service.tokens.headers(tenant, ["users:read"])
    return [asyncio.create_task(service.client.get(path, headers=headers)) for _ in range(count)]


async def waiting(service: RunningService, count: int) -> None:
    """Wait until so many answers wait."""

    async def probe() -> bool:
        return cast(ServiceApp, service.app).pauses.running == count

    await eventually(probe, f"{count} answers wait")


@pytest.mark.parametrize(
    ("path", "limits"), [("/common/refused", {}), ("/common/served", {"limit_client": Limit(1, LONG)})]
)
async def test_refusals_of_one_tenant_wait_and_nobody_else_until_the_service_stops(
    service: RunningService, path: str
) -> None:
    tenant, other = new_tenant(), new_tenant()
    await asyncio.gather(*ask(service, tenant, "/common/served"))
    requests = ask(service, tenant, path, FREE + MORE)
    await waiting(service, MORE)
    assert sum(one.done() for one in requests) == FREE
    assert (await ask(service, other, "/common/served")[0]).status_code == 200
    service.container.stopping.set()
    answers = await asyncio.wait_for(asyncio.gather(*requests), 20)
    assert {(one.status_code, int(one.headers["Retry-After"]) >= 1) for one in answers} == {(429, True)}


@pytest.mark.parametrize(
    ("line", "body", "size"),
    [
        ("GET /common/refused", b"", 0),
        ("POST /common/refused", b"x" * LARGE, LARGE),
        ("POST /common/refused?unread", b"x", LARGE),
    ],
    ids=["without a body", "after its body was read", "before its body has arrived"],
)
async def test_an_answer_that_waits_ends_with_its_client_and_holds_no_bytes(
    service: RunningService, line: str, body: bytes, size: int
) -> None:
    tenant = new_tenant()
    await asyncio.gather(*ask(service, tenant, "/common/refused", FREE))
    token = service.tokens.headers(tenant, ["users:read"])["Authorization"]
    head = f"{line} HTTP/1.1\r\nHost: here\r\nAuthorization: {token}\r\nContent-Length: {size}\r\n\r\n"
    port = service.container.config.port
    writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(MORE)]
    for writer in writers:
        writer.write(head.encode() + body)
    await waiting(service, MORE)
    bytes_in_flight: FairShare = service.app.extensions[BYTES_IN_FLIGHT]
    assert bytes_in_flight.used == 0
    for writer in writers:
        writer.close()
    await waiting(service, 0)


async def test_other_services_are_answered_without_a_pause(service: RunningService) -> None:
    headers = {**service.tokens.headers("*", ["service", "users:read"]), "Quartet-Tenant": new_tenant()}
    requests = (service.client.get("/common/refused", headers=headers) for _ in range(FREE + MORE))
    answers = await asyncio.wait_for(asyncio.gather(*requests), 20)
    assert {one.status_code for one in answers} == {429}
