"""Headers that claim to be more than they are: addresses, hosts, tenants, traces, and lines of a log."""

import json
from typing import Any
from uuid import uuid4

import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_testing.attacks import Recorded, Stranger, exchange, request
from quartet_testing.client import GROUPS, USERS, Api, unique, user_document
from quartet_testing.conditions import eventually
from quartet_testing.forgery import Forger
from quartet_testing.services import direct

pytestmark = pytest.mark.local_stack

EVIL = "evil.example.com"
FORWARDED = {
    "X-Forwarded-For": "203.0.113.7, 198.51.100.9",
    "X-Real-IP": "203.0.113.7",
    "X-Client-IP": "203.0.113.7",
    "True-Client-IP": "203.0.113.7",
    "CF-Connecting-IP": "203.0.113.7",
    "Remote-Addr": "203.0.113.7",
    "Forwarded": f"for=203.0.113.7;host={EVIL};proto=https",
}
HOSTS = (
    {"Host": EVIL},
    {"X-Forwarded-Host": EVIL},
    {"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444", "X-Forwarded-Prefix": "/evil"},
    {"Forwarded": f"host={EVIL};proto=https"},
    {"X-Host": EVIL, "X-Forwarded-Server": EVIL, "X-HTTP-Host-Override": EVIL, "X-Original-Host": EVIL},
)


def as_service(forger: Forger, tenant: str | None) -> dict[str, str]:
    """Headers as another service of the installation would send them."""
    token = forger.genuine(tenant="*", scope="service", sub="quartet-groups", client_id="quartet-groups")
    return {"Authorization": f"Bearer {token}"} | ({"Quartet-Tenant": tenant} if tenant is not None else {})


async def test_a_client_that_claims_another_address_is_logged_with_its_own(
    stranger: Stranger, recorded: Recorded
) -> None:
    for service in SERVICES:
        for name, value in FORWARDED.items():
            answer = await stranger.http.get(f"/{service}/data/export", headers={name: value})
            assert answer.status_code == 401
    for service in SERVICES:
        await recorded(service, stranger.address, {"missing": len(FORWARDED)})


@pytest.mark.parametrize("headers", HOSTS)
async def test_a_client_that_claims_another_host_is_answered_with_the_public_address(
    mine: Api, stack: Stack, headers: dict[str, str]
) -> None:
    made = await mine.post(USERS, json=user_document(), headers=headers)
    assert made.status_code == 201
    location = f"{stack.url}{USERS}/{made.json()['id']}"
    assert (made.headers["Location"], made.json()["meta"]["location"]) == (location, location)
    public = (
        "/scim/v2/ServiceProviderConfig",
        "/scim/v2/ResourceTypes",
        "/.well-known/jwks.json",
        "/users/openapi.json",
    )
    for path in (*public, "/users/docs", "/users//docs", "/nothing", f"{USERS}/nobody", GROUPS):
        answer = await mine.get(path, headers=headers)
        assert answer.status_code < 500
        assert EVIL not in answer.text + str(answer.headers), path
        assert "Location" not in answer.headers or answer.headers["Location"].startswith(stack.url)


async def test_a_client_that_is_no_service_names_no_tenant_and_no_actor(
    stack: Stack, mine: Api, other: Api, forger: Forger
) -> None:
    victim = await other.create_user()
    theirs = (await other.entries_of(victim["id"], "users.user.created"))[0]["tenant"]
    for names in ({"Quartet-Tenant": theirs}, {"Quartet_Tenant": theirs}, {"QUARTET-TENANT": theirs}):
        headers = {**names, "Quartet-Actor": "somebody-else", "Tenant": theirs, "X-Tenant-Id": theirs}
        assert (await mine.get(f"{USERS}/{victim['id']}", headers=headers)).status_code == 404
        made = (await mine.post(USERS, json=user_document(), headers=headers)).json()
        [entry] = await mine.entries_of(made["id"], "users.user.created")
        assert entry["tenant"] != theirs
        assert entry["actor"] != "somebody-else"
        assert (await other.get(f"{USERS}/{made['id']}")).status_code == 404
    found = await mine.post(
        direct(stack, "/users/lookup"), json={"ids": [victim["id"]]}, headers=as_service(forger, theirs)
    )
    assert [one["id"] for one in found.json()["users"]] == [victim["id"]]


@pytest.mark.parametrize("tenant", [None, "", "*", "%2A", "x" * 300])
async def test_a_service_that_names_no_tenant_is_refused(
    stack: Stack, stranger: Stranger, forger: Forger, tenant: str | None
) -> None:
    ids = {"ids": [str(uuid4())]}
    answer = await stranger.http.post(direct(stack, "/users/lookup"), json=ids, headers=as_service(forger, tenant))
    assert (answer.status_code, answer.json()["code"]) == (400, "missing_tenant")


@pytest.mark.parametrize(
    "sent",
    ["a b", "x" * 129, "<script>", '"}', "a;b", "\u00e9", "${jndi:ldap://x}", "../x", "%0d%0aSet-Cookie: a=b", ""],
)
async def test_an_id_of_a_request_that_is_none_is_replaced(mine: Api, sent: str) -> None:
    answer = await mine.get("/users/health/live", headers={b"X-Request-Id": sent.encode("latin1")})
    assert answer.status_code == 200
    assert len(answer.headers["X-Request-Id"]) == 36
    assert "Set-Cookie" not in answer.headers
    good = await mine.get("/users/health/live", headers={"X-Request-Id": "good-1_2.3~4"})
    assert good.headers["X-Request-Id"] == "good-1_2.3~4"


TRACES = [
    "x", f"00-{'0' * 32}-{'0' * 16}-01", f"ff-{'a' * 32}-{'b' * 16}-01", f"00-{'a' * 5000}", "\u00ff" * 60,
]  # fmt: skip


@pytest.mark.parametrize("value", TRACES)
async def test_a_trace_that_is_none_does_no_harm(mine: Api, value: str) -> None:
    headers = {b"traceparent": value.encode("latin1"), b"tracestate": b"=,=" * 400, b"baggage": b"a=" + b"x" * 4000}
    made = await mine.post(USERS, json=user_document(), headers=headers)
    assert made.status_code == 201
    [entry] = await mine.entries_of(made.json()["id"], "users.user.created")
    assert "0" * 32 not in json.dumps(entry)


@pytest.mark.parametrize(
    "header", ["Host", "X-Request-Id", "Authorization", "Content-Type", "If-None-Match", "User-Agent"]
)
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "%0d%0a", "\u0085"])
async def test_no_header_writes_a_line_of_the_answer(stack: Stack, forger: Forger, header: str, end: str) -> None:
    line = f"{header}: x{end}X-Injected: 1"
    sent = request("GET", USERS, line, f"Authorization: Bearer {forger.token}")
    for found in await exchange(stack._ports()["proxy"], sent):
        assert found.status in (200, 400, 401)
        assert "x-injected" not in found.headers
        assert b"X-Injected" not in found.body


FORGED = '{"event": "forged", "level": "info", "mark": "%s"}'


async def lines_with(stack: Stack, process: str, mark: str, least: int = 1) -> list[dict[str, Any]]:
    """The lines of a log in which `mark` stands, once there are at least so many; each is a JSON object."""
    log = stack.home.logs / f"{process}.log"

    async def probe() -> list[str]:
        found = [line for line in log.read_text(errors="replace").split("\n") if mark in line]
        return found if len(found) >= least else []

    return [json.loads(line) for line in await eventually(probe, f"{mark} in the log of {process}")]


async def test_no_client_writes_a_line_of_a_log(mine: Api, stack: Stack) -> None:
    mark = unique("mark")
    text = f"x\r\n{FORGED % mark}\n\u2028{FORGED % mark}\x1b[31m"
    escaped = "".join(f"%{byte:02x}" for byte in text.encode())
    for path in (USERS, "/users/schemas", "/users/nothing", "/scim/v2/ResourceTypes"):
        assert (await mine.get(f"{path}/{escaped}")).status_code == 404
    await mine.post(USERS, json=user_document(userName=text, displayName=text), headers={"User-Agent": mark})
    for process in ("users-api", "proxy"):
        found = await lines_with(stack, process, mark, 4)
        assert "forged" not in {one.get("event") for one in found}
