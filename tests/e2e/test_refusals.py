"""Who is not let in: what the answer says, and that the audit log knows."""

import time
from secrets import token_bytes

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, Document, TokenFor, user_document
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

WINDOW = 5.0
"""Seconds that one summary of refused requests covers."""

GUARDED = [
    (USERS, "users", "application/scim+json"),
    (GROUPS, "groups", "application/scim+json"),
    ("/users/data/export", "users", "application/problem+json"),
    ("/audit/events", "audit", "application/problem+json"),
    ("/metrics/query", "metrics", "application/problem+json"),
]


@pytest.mark.parametrize(("path", "service", "content_type"), GUARDED)
@pytest.mark.parametrize("token", [None, "nonsense", "eyJhbGciOiJub25lIn0.e30."])
async def test_requests_without_a_valid_token_are_refused(
    api: Api, path: str, service: str, content_type: str, token: str | None
) -> None:
    del api.headers["Authorization"]
    answer = await api.get(path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, content_type)
    body = answer.json()
    described = f', error="invalid_token", error_description="{body["detail"]}"'
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="quartet"' + ("" if token is None else described)
    assert body["detail"].startswith("An access token is required." if token is None else "The access token is ")
    if content_type == "application/scim+json":
        assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert str(body["status"]) == "401"
    assert token is None or token not in answer.text


@pytest.mark.local_stack
@pytest.mark.parametrize(("path", "service", "content_type"), GUARDED)
async def test_a_token_without_the_scope_is_refused_and_the_log_of_its_tenant_says_so(
    token_for: TokenFor, stack: Stack, path: str, service: str, content_type: str
) -> None:
    tenant = new_tenant()
    async with Api(stack.url, await token_for(tenant, "events:manage")) as poor:
        answer = await poor.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, content_type)
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    async with Api(stack.url, await token_for(tenant, "audit:read metrics:read")) as auditor:
        action = f"{service}.request.refused"
        [entry] = await eventually(lambda: auditor.entries(action=action), "the refusal in the audit log")
        assert (entry["outcome"], entry["actor"], entry["tenant"]) == ("denied", "quartet-admin", tenant)
        assert (entry["data"]["path"], entry["data"]["status"]) == (path, 403)
        assert await auditor.entries(outcome="denied") == [entry]
        await auditor.counted(action, 1)


@pytest.mark.local_stack
async def test_requests_without_a_token_become_summaries_in_the_log_of_the_system(
    token_for: TokenFor, stack: Stack
) -> None:
    number = 300
    begun = time.monotonic()
    address = f"127.{'.'.join(str(1 + byte % 254) for byte in token_bytes(3))}"  # what summaries are told apart by
    transport = httpx.AsyncHTTPTransport(local_address=address)
    async with httpx.AsyncClient(base_url=stack.url, transport=transport) as anybody:
        for _ in range(number):
            assert (await anybody.get(USERS)).status_code == 401
    async with Api(stack.url, await token_for("quartet", "audit:read")) as auditor:

        async def all_of_them() -> list[Document]:
            entries = await auditor.entries(action="users.request.refused")
            ours = [entry for entry in entries if entry["source_address"] == address]
            assert sum(entry["data"]["count"] for entry in ours) == number
            return ours

        summaries = await eventually(all_of_them, f"summaries of {number} requests")
    windows = (time.monotonic() - begun) / WINDOW + 2
    assert len(summaries) <= windows
    for entry in summaries:
        assert (entry["outcome"], entry["actor"]) == ("denied", "anonymous")


@pytest.mark.local_stack
async def test_scopes_are_checked_for_reading_and_writing_apart(token_for: TokenFor, stack: Stack) -> None:
    async with Api(stack.url, await token_for(new_tenant(), "users:read")) as reader:
        assert (await reader.get(USERS)).status_code == 200
        assert (await reader.post(USERS, json=user_document())).status_code == 403
        assert (await reader.get(GROUPS)).status_code == 403


@pytest.mark.local_stack
async def test_a_client_gets_no_token_with_a_wrong_secret_or_for_a_scope_that_it_does_not_have(stack: Stack) -> None:
    secret = (stack.home.secrets / "admin/quartet_client_secret").read_text().strip()
    form = {"grant_type": "client_credentials"}
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        wrong = await client.post("/oauth2/token", data=form, auth=("quartet-admin", "wrong-wrong-wrong"))
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        service = await client.post("/oauth2/token", data={**form, "scope": "service"}, auth=("quartet-admin", secret))
        assert (service.status_code, service.json()["error"]) == (400, "invalid_scope")
