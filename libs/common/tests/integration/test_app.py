"""What every app has, asked over HTTP: errors, refusals, CORS, headers, request ids, limits, docs."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from quart import Quart, request

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import NotFoundError
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.process import Service, api_readiness
from quartet_common.web.app import create_base_app
from quartet_common.web.blueprints import data_export
from quartet_common.web.blueprints.data_export import NDJSON
from quartet_common.web.dependencies import provide
from quartet_common.web.guard import caller, public, requires
from quartet_testing.services import RunningService, new_tenant, run_service

ORIGIN = "https://app.example.com"
MAX_BODY = 1000

Run = Callable[..., AbstractAsyncContextManager[RunningService]]


def create_app(container: AppContainer[ServiceConfig]) -> Quart:
    """The app of the service `common`: a route for each thing that can happen."""
    app = create_base_app(container, title="Common")
    provide(app, data_export.Exports, data_export.Exports.of(container, {}))
    app.register_blueprint(data_export.blueprint, url_prefix="/common/data")

    @app.get("/common/things")
    @requires("users:read")
    async def things() -> dict[str, str]:
        return {"tenant": caller().tenant}

    @app.post("/common/things")
    @requires("users:write")
    async def add() -> dict[str, int]:
        return {"length": len(await request.get_data())}

    @app.get("/common/things/none")
    @requires("users:read")
    async def none() -> str:
        raise NotFoundError

    @app.get("/common/broken")
    @requires("users:read")
    async def broken() -> str:
        raise ValueError("the password is t1meMa$heen")

    @app.get("/common/undeclared")
    async def undeclared() -> str:
        return "never"

    @app.get("/common/open")
    @public
    async def open_() -> str:
        return "open"

    return app


@pytest.fixture
def run(config: ServiceConfig) -> Run:
    """Runs the app with changed settings."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[RunningService]:
        changed = config.model_copy(update={"max_body_bytes": MAX_BODY, "refusal_window": 0.1, **changes})
        service = Service(
            package="quartet_common",
            config_class=type(config),
            create_app=create_app,
            subscriptions=lambda _: [],
        )
        async with run_service(service, changed) as running:
            yield running

    return start


@pytest.fixture
async def service(run: Run) -> AsyncIterator[RunningService]:
    async with run() as running:
        yield running


@pytest.fixture
def headers(service: RunningService) -> dict[str, str]:
    """The headers of somebody who may do everything here."""
    return service.tokens.headers("default", ["users:read", "users:write"])


async def test_errors_are_problem_documents_with_a_code(service: RunningService, headers: dict[str, str]) -> None:
    for method, path, status, code in (
        ("GET", "/common/things/none", 404, "not_found"),
        ("GET", "/common/nowhere", 404, "not_found"),
        ("DELETE", "/common/things", 405, "method_not_allowed"),
        ("GET", "/common/broken", 500, "internal_error"),
    ):
        ask = {"GET": service.client.get, "DELETE": service.client.delete}[method]
        response = await ask(path, headers=headers)
        assert response.status_code == status
        assert response.content_type == "application/problem+json"
        problem = await response.get_json()
        assert (problem["status"], problem["code"]) == (status, code)
        assert problem["title"]
        assert problem["detail"]


async def test_a_405_names_the_methods_that_there_are(service: RunningService, headers: dict[str, str]) -> None:
    response = await service.client.delete("/common/things", headers=headers)
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


async def test_an_unexpected_error_discloses_nothing(service: RunningService, headers: dict[str, str]) -> None:
    body = await (await service.client.get("/common/broken", headers=headers)).get_data(as_text=True)
    assert "t1meMa" not in body
    assert "ValueError" not in body


async def test_a_route_that_declares_no_scope_is_closed_to_everybody(
    service: RunningService, headers: dict[str, str]
) -> None:
    assert (await service.client.get("/common/undeclared", headers=headers)).status_code == 403
    assert (await service.client.get("/common/undeclared")).status_code == 401
    assert (await service.client.get("/common/open")).status_code == 200


async def test_a_body_that_is_too_large_is_413_and_one_that_just_fits_is_taken(
    service: RunningService, headers: dict[str, str]
) -> None:
    fits = await service.client.post("/common/things", headers=headers, data=b"x" * MAX_BODY)
    assert (fits.status_code, await fits.get_json()) == (200, {"length": MAX_BODY})
    too_large = await service.client.post("/common/things", headers=headers, data=b"x" * (MAX_BODY + 1))
    assert too_large.status_code == 413
    assert (await too_large.get_json())["code"] == "request_entity_too_large"


@pytest.mark.parametrize("path", ["/common/open", "/common/things", "/common/nowhere", "/common/broken"])
async def test_every_answer_has_the_security_headers(
    service: RunningService, headers: dict[str, str], path: str
) -> None:
    for sent in ({}, headers):
        found = (await service.client.get(path, headers=sent)).headers
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["X-Frame-Options"] == "DENY"
        assert found["Referrer-Policy"] == "no-referrer"
        assert found["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert found["Cache-Control"] == "no-store"
        assert "Server" not in found


async def test_a_request_id_is_handed_back(service: RunningService) -> None:
    for path in ("/common/open", "/common/things", "/common/nowhere"):
        response = await service.client.get(path, headers={"X-Request-Id": "abc-123.~_"})
        assert response.headers["X-Request-Id"] == "abc-123.~_"


@pytest.mark.parametrize("sent", [None, "", "with space", "x" * 129, "semi;colon", '"quoted"', "é"])
async def test_without_a_good_request_id_a_new_one_is_given(service: RunningService, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-Id": sent}
    first = (await service.client.get("/common/open", headers=headers)).headers["X-Request-Id"]
    second = (await service.client.get("/common/open", headers=headers)).headers["X-Request-Id"]
    assert UUID(first) != UUID(second)


async def test_by_default_no_origin_is_let_in(service: RunningService) -> None:
    response = await service.client.get("/common/open", headers={"Origin": ORIGIN})
    assert response.status_code == 200
    assert not [name for name in response.headers if name[0].lower().startswith("access-control")]


async def test_an_origin_on_the_list_is_let_in_and_no_other(run: Run) -> None:
    async with run(cors_origins=[ORIGIN, "https://admin.example.com"]) as service:
        for origin in (ORIGIN, "https://admin.example.com"):
            response = await service.client.get("/common/open", headers={"Origin": origin})
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert "Origin" in response.headers["Vary"]
        for origin in ("https://evil.example.com", "http://app.example.com", f"{ORIGIN}.evil.example.com", "null"):
            response = await service.client.get("/common/open", headers={"Origin": origin})
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_preflight_needs_no_token_and_lets_the_token_be_sent(run: Run) -> None:
    async with run(cors_origins=[ORIGIN]) as service:
        asked = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        response = await service.client.options("/common/things", headers=asked)
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        allowed = re.split(r",\s*", response.headers["Access-Control-Allow-Headers"].lower())
        assert {"authorization", "content-type"} <= set(allowed)
        refused = await service.client.options(
            "/common/things", headers={**asked, "Origin": "https://evil.example.com"}
        )
        assert "Access-Control-Allow-Origin" not in refused.headers


async def test_a_page_of_a_listed_origin_can_read_errors_too(run: Run) -> None:
    async with run(cors_origins=[ORIGIN]) as service:
        for path, status in (("/common/things", 401), ("/common/nowhere", 404)):
            response = await service.client.get(path, headers={"Origin": ORIGIN})
            assert response.status_code == status
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


async def test_a_403_is_an_event_of_the_caller_that_was_refused(service: RunningService) -> None:
    tenant = new_tenant()
    headers = service.tokens.headers(tenant, ["groups:read"], actor="scim-client")
    assert (await service.client.get("/common/things", headers=headers)).status_code == 403
    [event] = await service.outbox(tenant)
    assert (event.action, event.outcome, event.actorid) == ("common.request.refused", "denied", "scim-client")
    assert event.data == {
        "status": 403,
        "reason": "insufficient_scope",
        "scope": "users:read",
        "method": "GET",
        "path": "/common/things",
    }


@pytest.mark.parametrize("path", ["/common/things%00", "/common/open?x=%00", "/common/open?a%00b=1"])
async def test_an_address_with_a_nul_character_is_refused(
    service: RunningService, headers: dict[str, str], path: str
) -> None:
    response = await service.client.get(path, headers=headers)
    assert (response.status_code, (await response.get_json(force=True))["code"]) == (400, "bad_address")
    assert response.headers["X-Request-Id"]


async def test_a_percent_sign_that_is_encoded_itself_is_no_nul_character(service: RunningService) -> None:
    assert (await service.client.get("/common/open?x=%2500")).status_code == 200


async def test_an_api_is_ready_when_it_is_warm(service: RunningService) -> None:
    readiness = api_readiness(service.container)
    assert (await readiness.report())[1] == 200
    service.container.is_warm = False
    try:
        assert await readiness.report() == (
            {"status": "not ready", "down": ["warm-up"], "reasons": {"warm-up": "is not ready"}},
            503,
        )
    finally:
        service.container.is_warm = True


async def test_health_openapi_and_docs_are_public(service: RunningService) -> None:
    for path in ("/common/health/live", "/common/health/ready", "/common/openapi.json", "/common/docs"):
        assert (await service.client.get(path)).status_code == 200
    page = await (await service.client.get("/common/docs")).get_data(as_text=True)
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert (await service.client.get(address)).status_code == 200
    assert not re.findall(r"https?://", page)


async def test_the_document_says_of_each_route_what_it_answers(service: RunningService) -> None:
    paths = (await (await service.client.get("/common/openapi.json")).get_json())["paths"]
    found = {path: paths[path]["get"]["responses"] for path in paths if "get" in paths[path]}
    for path, media_type in (("/common/data/export", NDJSON), ("/common/open", "application/json")):
        assert list(found[path]["200"]["content"]) == [media_type]
    assert {path for path, responses in found.items() if "403" not in responses} == {
        "/common/health/live",
        "/common/health/ready",
        "/common/open",
    }
