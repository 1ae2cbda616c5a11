"""Paths and methods that lead elsewhere: the proxy and the service behind it read a path alike, or refuse it."""

import json

import pytest

from quartet_cli.instances import SPARE
from quartet_cli.stack import Stack
from quartet_testing.attacks import RawAnswer, exchange, request, says_nothing
from quartet_testing.client import USERS, Api
from quartet_testing.forgery import Forger

pytestmark = pytest.mark.local_stack

ELSEWHERE = [
    "/users/../audit/events", "/users/%2e%2e/audit/events", "/users/..%2faudit/events", "/users/%2e%2e%2faudit/events",
    "/users/%252e%252e/audit/events", "/users/..;/audit/events", "/users/%c0%ae%c0%ae/audit/events",
    "/users/../groups/of/x", "/groups/../users/data/export", "//audit/events", "/audit//events", "///audit///events",
    "/audit/./events", "/audit/events/", "/audit/events;x=1", "/audit;/events", "/audit/events/..", "/AUDIT/events",
    "/audit\\events", "/audit/events%00", "/audit/events%0a", "/audit/events%0d%0aX:y", "/audit/events%20",
    "/audit/events.json", "/..", "/../../etc/passwd", "/users/../../etc/passwd", "/scim/v2/Users/../Groups",
    "/scim/v2/Groups/../Users", "/scim/v2/Groups../Users", "/scim/v2/GroupsX", "/scim/v2/Users%2f..%2fGroups",
    "/scim/v2/Users/..%2f..%2f..%2faudit/events", "/users/docs/..%2f..%2f..%2fetc%2fpasswd", "/users/docs/%2e%2e",
    "/users/docs/..%5c..", "/users/docs/%2fetc%2fpasswd", "*", "users/data/export", "/metrics", "/metrics/../metrics",
    "/users", "/oauth2", "/.well-known", "/health/live", "/health/ready", "/.problem/", "/.problem/400",
    "/.problem/414", "/@not_found", "/.git/config", "/.env", "/nginx_status", "/server-status",
    "/.error/problem/", "/.error/scim/secret", "/@users_streamed",
]  # fmt: skip
"""Ways to what is not there, or is there under one name only."""


@pytest.fixture
def port(stack: Stack) -> int:
    """The proxy's port."""
    return stack._ports()["proxy"]


@pytest.fixture
def bearer(forger: Forger) -> str:
    """A good token with every scope, as a header: what is refused here is not refused for want of one."""
    return f"Authorization: Bearer {forger.token}"


def nothing_there(answer: RawAnswer) -> None:
    """The answer is an error document, leads nowhere, and says nothing."""
    assert answer.status in (400, 404, 405), answer
    assert "location" not in answer.headers
    says_nothing(answer.body.decode())


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_a_path_that_leads_elsewhere_leads_nowhere(port: int, bearer: str, path: str) -> None:
    [answer] = await exchange(port, request("GET", path, bearer))
    nothing_there(answer)
    if answer.body:
        assert str(json.loads(answer.body)["status"]) == str(answer.status)


async def test_a_path_is_the_same_however_its_letters_are_written(port: int, bearer: str) -> None:
    for path in ("/audit/events?limit=1", "/audit/%65vents?limit=1", "/%61udit/events?limit=1"):
        [answer] = await exchange(port, request("GET", path, bearer))
        assert answer.status == 200
        assert "events" in json.loads(answer.body)


@pytest.mark.parametrize("path", [*ELSEWHERE, "/audit/events", "/audit/%65vents", "/%61udit//events", USERS])
async def test_no_way_of_writing_a_path_gets_past_the_need_of_a_token(port: int, path: str) -> None:
    [answer] = await exchange(port, request("GET", path))
    assert answer.status in (400, 401, 404, 405), answer
    assert "location" not in answer.headers


async def test_the_private_port_of_no_process_is_reached_through_the_proxy(stack: Stack, port: int) -> None:
    ports = stack._ports().items()
    private = [number for name, number in ports if name.endswith("-private") and SPARE not in name]
    assert len(private) == 8
    for number in private:
        for target in (f"http://127.0.0.1:{number}/metrics", "/metrics", "/metrics/"):
            [answer] = await exchange(port, request("GET", target, f"X-Forwarded-Host: 127.0.0.1:{number}"))
            nothing_there(answer)
            assert b"# HELP" not in answer.body
    token = (stack.home.secrets / "prometheus/token").read_text()
    for number in private:
        [refused] = await exchange(number, request("GET", "/metrics"))
        assert (refused.status, b"# HELP" in refused.body) == (401, False)
        [own] = await exchange(number, request("GET", "/metrics", f"Authorization: Bearer {token}"))
        assert (own.status, b"# HELP" in own.body) == (200, True)


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "get", "GET\t", "PRI"])
async def test_methods_that_tell_or_tunnel_are_refused(port: int, bearer: str, method: str) -> None:
    for target in (USERS, "/users/health/live", "127.0.0.1:5432", "http://127.0.0.1:5432/"):
        [answer] = await exchange(port, request(method, target, bearer, "X-Secret: shown-by-trace"))
        assert answer.status in (400, 404, 405, 501), answer
        assert answer.headers["content-type"].startswith(("application/problem+json", "application/scim+json"))
        assert b"shown-by-trace" not in answer.body
        says_nothing(answer.body.decode())


@pytest.mark.parametrize(
    "header",
    ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"],
)
async def test_a_header_does_not_change_the_method(mine: Api, header: str) -> None:
    user = await mine.create_user()
    path = f"{USERS}/{user['id']}"
    for method in ("GET", "POST"):
        answer = await mine.request(method, path, headers={header: "DELETE"}, params={"_method": "DELETE"})
        assert answer.status_code == (200 if method == "GET" else 405)
    assert (await mine.get(path)).status_code == 200
    assert (await mine.delete(path)).status_code == 204
    assert (await mine.get(path)).status_code == 404


@pytest.mark.parametrize("header", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Accel-Redirect"])
async def test_a_header_does_not_change_the_path(mine: Api, header: str) -> None:
    answer = await mine.get("/users/health/live", headers={header: "/audit/events"})
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})
