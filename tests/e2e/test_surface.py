"""What everybody meets first: public pages, ids of requests, limits, and answers to what does not exist."""

import httpx
import pytest

from quartet_testing.client import GROUPS, USERS, Api, unique, user_document

SERVICES = ("users", "groups", "audit", "metrics")
PROBLEM = "application/problem+json"
SCIM = "application/scim+json"


@pytest.fixture
def public(api: Api) -> httpx.AsyncClient:
    """A client without a token."""
    del api.headers["Authorization"]
    return api


@pytest.mark.parametrize("service", SERVICES)
async def test_health_documents_and_their_page_need_no_token(public: httpx.AsyncClient, service: str) -> None:
    live = await public.get(f"/{service}/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    ready = await public.get(f"/{service}/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "checked": ["postgresql"]})
    document = (await public.get(f"/{service}/openapi.json")).json()
    assert f"/{service}/rabbitmq/outbox" in document["paths"]
    page = await public.get(f"/{service}/docs")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (await public.get(f"/{service}/docs/swagger-ui-bundle.js")).status_code == 200


async def test_scim_discovery_needs_no_token(public: httpx.AsyncClient) -> None:
    for path in ("ServiceProviderConfig", "ResourceTypes", "ResourceTypes/User", "Schemas"):
        assert (await public.get(f"/scim/v2/{path}")).status_code == 200


@pytest.mark.parametrize("path", [USERS, "/users/data/export", GROUPS, "/audit/events", "/metrics/catalog"])
async def test_the_id_of_a_request_comes_back_and_headers_protect_the_answer(api: Api, path: str) -> None:
    sent = unique("request")
    answer = await api.get(path, headers={"X-Request-Id": sent})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (200, sent)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    made = (await api.get(path)).headers["X-Request-Id"]
    assert made not in ("", sent)
    assert "server" not in answer.headers or "/" not in answer.headers["server"]


async def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    answer = await api.post(USERS, json=user_document(displayName="x" * (9 << 20)))
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, SCIM)
    assert answer.json()["status"] == "413"


async def test_a_body_that_not_even_the_proxy_takes_is_refused(api: Api) -> None:
    answer = await api.post(GROUPS, content=b"x" * (14 << 20), headers={"Content-Type": SCIM})
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, SCIM)


@pytest.mark.parametrize("path", ["/nothing/here", "/users/nothing", "/audit/nothing"])
async def test_an_address_that_nothing_answers_is_a_problem_document(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, PROBLEM)
    assert answer.json()["status"] == 404


async def test_a_scim_address_that_nothing_answers_is_a_scim_error(api: Api) -> None:
    for path in (f"{USERS}/nobody", f"{GROUPS}/nothing", "/scim/v2/Nothing", "/scim/v1/Users"):
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, SCIM)
        assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
