"""The proxy itself: its own errors, what it does not let through, how much it takes, its start page and its cache."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from quart import Quart

from quartet_cli.stack import Stack
from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.core.errors import TITLES, code_of
from quartet_common.web.guard import scopes_of
from quartet_testing.attacks import RawAnswer, answers, exchange, request
from quartet_testing.client import GROUPS, USERS, Api, user_document
from quartet_testing.forgery import Forger

pytestmark = pytest.mark.local_stack

SCIM, PROBLEM = "application/scim+json", "application/problem+json"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
TOO_MUCH = 20_000
"""Bytes that are more than small endpoints take."""


@pytest.fixture
def port(stack: Stack) -> int:
    """The proxy's port."""
    return stack._ports()["proxy"]


# ---- errors -------------------------------------------------------------------------------------------------------


def is_the_proxys_own(answer: RawAnswer, status: int, *, scim: bool) -> dict[str, Any]:
    """The answer is an error document in the dialect of its path; the document."""
    document: dict[str, Any] = httpx.Response(200, content=answer.body).json()
    assert answer.status == status, answer
    assert answer.headers["x-content-type-options"] == "nosniff"
    if scim:
        assert answer.headers["content-type"] == SCIM
        assert (document["schemas"], document["status"]) == ([ERROR], str(status))
    else:
        assert answer.headers["content-type"] == PROBLEM
        assert (document["status"], document["title"]) == (status, TITLES[status])
        assert document["code"] == code_of(status)
    assert len(document["detail"]) > 10
    return document


ELSEWHERE = "/audit/events"
MISTAKES: dict[str, tuple[int, bytes]] = {
    "a body that is too large": (413, request("POST", "{}", "Content-Length: 99999999")),
    "a head that is malformed": (400, request("GET", "{}", "Content-Length: x")),
    "a head that is too large": (400, request("GET", "{}", f"X-A: {'x' * 20_000}")),
    "an address that is too long": (414, request("GET", "{}?" + "x" * 20_000)),
    "a transfer coding that nobody has": (501, request("POST", "{}", "Transfer-Encoding: gzip")),
    "a method that is not allowed": (405, request("TRACE", "{}")),
    "a token in the address": (400, request("GET", "{}?access_token=x")),
    "another version": (505, b"GET {} HTTP/3.0\r\nHost: x\r\n\r\n"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_an_error_of_the_proxy_is_in_the_dialect_of_its_path(port: int, mistake: str) -> None:
    status, sent = MISTAKES[mistake]
    has_a_path = status not in (414, 505)  # nginx does not read such a request line to its end

    async def check(path: str) -> None:
        [answer] = await exchange(port, sent.replace(b"{}", path.encode()))
        document = is_the_proxys_own(answer, status, scim=has_a_path and path.startswith("/scim"))
        assert ("token" in document["detail"]) == (mistake == "a token in the address")

    paths = (USERS, f"{GROUPS}/x", "/scim/v2/Bulk", ELSEWHERE, "/users/login")
    await asyncio.gather(*map(check, paths))  # some connections linger for 5 s


async def test_a_service_that_is_away_is_a_502_in_the_dialect_of_its_path(stack: Stack, port: int) -> None:
    await asyncio.to_thread(stack.stop, "groups-api")
    try:
        for path, size in ((GROUPS, 0), (GROUPS, 200_000), ("/groups/check", 0)):
            sent = request("POST", path, f"Content-Length: {size}", body=b"x" * size)
            [answer] = await exchange(port, sent)
            is_the_proxys_own(answer, 502, scim=path == GROUPS)
            assert answer.headers["retry-after"] == "1"
    finally:
        await asyncio.to_thread(stack.start, "groups-api")
        await asyncio.to_thread(stack.up)


# ---- large bodies ---------------------------------------------------------------------------------------------------


async def test_an_early_answer_to_a_large_body_says_that_the_connection_ends(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        for path in (USERS, GROUPS):
            answer = await client.post(path, content=b"x" * 500_000, headers={"Content-Type": SCIM})
            assert (answer.status_code, answer.headers["Connection"]) == (401, "close")


# ---- internal routes ----------------------------------------------------------------------------------------------


def internal_paths(apps: dict[str, Quart]) -> Iterator[tuple[str, str]]:
    """Service and path of each route that needs the scope of services."""
    for name, app in apps.items():
        for rule in app.url_map.iter_rules():
            if tuple(scopes_of(app.view_functions[rule.endpoint])) == (SERVICE_SCOPE,):
                yield name, rule.rule


def spellings(path: str) -> Iterator[str]:
    """Ways to write a path that a service could read as the same."""
    _, service, name = path.split("/", 2)
    encoded = "".join(f"%{ord(letter):02x}" for letter in name)
    yield from (path, f"{path}/", f"{path}?x=1", f"{path};x", f"/{service}/{encoded}", f"/{service}/{encoded.upper()}")
    yield from (f"//{service}/{name}", f"/{service}//{name}", f"{path}//", f"/{service}/./{name}", f"{path}/.")
    yield from (f"/{service}/x/../{name}", f"/scim/v2/../../{service}/{name}", f"/{service}%2f{name}", f"{path}%2f")
    yield from (f"/{service}/%2e/{name}", f"/{service}/x/%2e%2e/{name}", f"/{service}/x%2f..%2f{name}", path.upper())
    yield from (f"/{service}/{name.title()}", f"http://quartet{path}", f"/%{ord(service[0]):02x}{service[1:]}/{name}")


async def test_what_services_call_directly_is_not_found_through_the_proxy_however_it_is_written(
    apps: dict[str, Quart], stack: Stack, port: int, forger: Forger
) -> None:
    token = forger.genuine(tenant="*", scope="service", sub="quartet-groups", client_id="quartet-groups")
    bearer = (f"Authorization: Bearer {token}", "Quartet-Tenant: default", "Content-Type: application/json")
    found = list(internal_paths(apps))
    assert sorted(path for _, path in found) == [
        "/audit/totals",
        "/groups/bulk",
        "/groups/privileged",
        "/groups/search",
        "/groups/totals",
        "/users/lookup",
        "/users/lookup/group-scopes",
        "/users/totals",
    ]
    for service, path in found:
        for spelling in spellings(path):
            sent = request("POST", spelling, *bearer, "Content-Length: 2", body=b"{}")
            [answer] = await exchange(port, sent)
            assert answer.status in (400, 404), f"{spelling}: {answer}"
        [direct] = await exchange(
            stack._ports()[f"{service}-api"], request("POST", path, *bearer, "Content-Length: 2", body=b"{}")
        )
        assert direct.status not in (401, 403, 404), direct
        is_the_proxys_own((await exchange(port, request("POST", path, *bearer)))[0], 404, scim=False)


# ---- how much is taken --------------------------------------------------------------------------------------------


SMALL_ENDPOINTS = (
    "/users/login", "/users/password", "/oauth2/token", "/oauth2/introspect", "/users/clients", "/users/roles",
)  # fmt: skip


async def test_small_endpoints_take_small_bodies_and_refuse_others_before_they_are_read(port: int) -> None:
    async def check(path: str) -> None:
        [announced] = await exchange(port, request("POST", path, f"Content-Length: {TOO_MUCH}"))
        is_the_proxys_own(announced, 413, scim=False)
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (TOO_MUCH, b"x" * TOO_MUCH)
        [unannounced] = await exchange(port, request("POST", path, "Transfer-Encoding: chunked", body=chunk))
        is_the_proxys_own(unannounced, 413, scim=False)

    await asyncio.gather(*map(check, SMALL_ENDPOINTS))  # each connection lingers for 5 s


async def test_a_large_body_without_a_token_is_refused_before_it_is_sent(port: int) -> None:
    head = request("POST", USERS, "Content-Length: 8000000", "Content-Type: application/scim+json")
    [answer] = await exchange(port, head)  # of 8 MB nothing is ever sent
    assert answer.status == 401


async def test_large_bodies_arrive_whole_and_are_not_written_to_files(stack: Stack, mine: Api) -> None:
    folder = stack.home.data / "nginx/client_body"
    before = folder.stat().st_mtime_ns
    for size in (50_000, 99_000, 101_000, 400_000):
        document = json.dumps(user_document()).encode().ljust(size)
        made = await mine.post(USERS, content=document, headers={"Content-Type": SCIM})
        assert made.status_code == 201, made.text[:300]
    pieces = (piece for piece in (b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],', b'"userName":"a"}'))

    async def chunked() -> Any:
        for piece in pieces:
            yield piece

    sent = await mine.post(USERS, content=chunked(), headers={"Content-Type": SCIM})
    assert sent.status_code == 201, sent.text
    assert folder.stat().st_mtime_ns == before


async def test_an_address_has_a_limited_number_of_requests_at_once(port: int) -> None:
    head = request("POST", "/users/login", "Content-Length: 100")
    held = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.7.7.7", 0)) for _ in range(257)]
    try:
        for _, writer in held:
            writer.write(head)
        heads = [asyncio.ensure_future(reader.readuntil(b"}")) for reader, _ in held]
        done, waiting = await asyncio.wait(heads, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        [refused] = [answers(task.result())[0] for task in done]
        is_the_proxys_own(refused, 429, scim=False)
        assert refused.headers["retry-after"] == "1"
        [other] = await exchange(port, request("GET", "/users/health/live"))
        assert other.status == 200
    finally:
        for _, writer in held:
            writer.transport.abort()


# ---- pages --------------------------------------------------------------------------------------------------------


async def test_the_start_page_leads_to_what_there_is_and_loads_nothing(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        links = set(re.findall(r'href="(/[^"]*)"', page.text))
        for service in ("users", "groups", "audit", "metrics"):
            assert {f"/{service}/docs", f"/{service}/health/ready"} <= links
        assert {"/.well-known/oauth-authorization-server", "/scim/v2/ServiceProviderConfig"} <= links
        for link in links:
            assert (await client.get(link)).status_code == 200, link
        assert (await client.post("/")).status_code == 405
    assert not re.search(r"https?://|<script|src=|@import", page.text)
    [style] = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("service", ["users", "groups", "audit", "metrics"])
async def test_the_files_of_the_documentation_come_from_the_proxys_cache(stack: Stack, service: str) -> None:
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js"):
            path = f"/{service}/docs/{name}"
            first = await client.get(path)
            assert (first.status_code, first.headers["Cache-Control"]) == (200, "public, max-age=86400")
            assert not {"x-request-id", "ratelimit"} & first.headers.keys()
            again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")
        await asyncio.to_thread(stack.stop, f"{service}-api")
        try:
            cached = await client.get(f"/{service}/docs/swagger-ui.css?another=address")
            assert (cached.status_code, cached.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
        finally:
            await asyncio.to_thread(stack.start, f"{service}-api")
            await asyncio.to_thread(stack.up)


async def test_a_hundred_pipelined_requests_for_the_openapi_document_do_not_hold_up_others(
    stack: Stack, port: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    one = b"GET /users/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    last = request("GET", "/users/openapi.json")
    reading = asyncio.ensure_future(reader.read())
    writer.write(one * 99 + last)
    slowest = 0.0
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=30) as client:
        while not reading.done():
            begun = asyncio.get_running_loop().time()
            assert (await client.get("/users/health/live")).status_code == 200
            slowest = max(slowest, asyncio.get_running_loop().time() - begun)
    received = answers(await reading)
    writer.close()
    assert [answer.status for answer in received] == [200] * 100
    assert len({answer.headers["etag"] for answer in received}) == 1
    assert slowest < 2
