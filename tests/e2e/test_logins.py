"""Logins through the proxy: a person's token is taken by every service, and by none once its session has ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, Document, TokenFor, patch_document
from quartet_testing.conditions import eventually
from quartet_testing.people import PASSWORD
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

READS = (USERS, GROUPS, "/audit/events", "/metrics/query?metric=events&by=type")
"""A question to each service."""


@asynccontextmanager
async def administrator(stack: Stack, token_for: TokenFor) -> AsyncIterator[tuple[Api, str]]:
    """The administrator of a new tenant, and the tenant."""
    tenant = new_tenant()
    async with Api(stack.url, await token_for(tenant)) as api:
        yield api, tenant


async def reader(api: Api) -> Document:
    """A person who may read everything by a role."""
    person = await api.create_user(password=PASSWORD)
    scopes = ["users:read", "groups:read", "audit:read", "metrics:read"]
    role = (await api.post("/users/roles", json={"name": "Reader", "scopes": scopes})).json()
    grant = {"type": "User", "id": person["id"]}
    assert (await api.post(f"/users/roles/{role['id']}/grants", json=grant)).status_code == 201
    return person


async def log_in(stack: Stack, tenant: str, user_name: str, password: str = PASSWORD) -> httpx.Response:
    """The answer to a login."""
    body = {"tenant": tenant, "user_name": user_name, "password": password}
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=20) as client:
        return await client.post("/users/login", json=body)


Ending = Callable[[Api, Document, Document], Awaitable[httpx.Response]]


async def by_logout(api: Api, _: Document, tokens: Document) -> httpx.Response:
    async with Api(str(api.base_url), tokens["access_token"]) as person:
        return await person.delete(f"/users/sessions/{tokens['session_id']}")


async def by_administrator(api: Api, person: Document, _: Document) -> httpx.Response:
    return await api.delete("/users/sessions", params={"user": person["id"]})


async def by_deactivation(api: Api, person: Document, _: Document) -> httpx.Response:
    change = patch_document({"op": "replace", "path": "active", "value": False})
    return await api.patch(f"{USERS}/{person['id']}", json=change)


async def by_deletion(api: Api, person: Document, _: Document) -> httpx.Response:
    return await api.delete(f"{USERS}/{person['id']}")


@pytest.mark.parametrize("ending", [by_logout, by_administrator, by_deactivation, by_deletion])
async def test_a_session_is_accepted_by_every_service_until_it_ends(
    stack: Stack, token_for: TokenFor, ending: Ending
) -> None:
    async with administrator(stack, token_for) as (api, tenant):
        person = await reader(api)
        tokens = (await log_in(stack, tenant, person["userName"])).json()
        async with Api(stack.url, tokens["access_token"]) as session:
            assert [(await session.get(path)).status_code for path in READS] == [200] * len(READS)
            assert (await ending(api, person, tokens)).is_success

            async def all_refuse() -> bool:
                return {(await session.get(path)).status_code for path in READS} == {401}

            await eventually(all_refuse, "every service to refuse the token")
        form = {"grant_type": "refresh_token", "client_id": "quartet-cli", "refresh_token": tokens["refresh_token"]}
        async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
            assert (await client.post("/oauth2/token", data=form)).json()["error"] == "invalid_grant"


async def test_logins_are_audited_and_counted_as_they_went(stack: Stack, token_for: TokenFor) -> None:
    async with administrator(stack, token_for) as (api, tenant):
        person = await api.create_user(password=PASSWORD)
        assert (await log_in(stack, tenant, person["userName"], "wrong horse battery")).status_code == 401
        tokens = (await log_in(stack, tenant, person["userName"])).json()
        [entry] = await api.entries_of(tokens["session_id"], "users.login.succeeded")
        assert (entry["actor"], entry["outcome"]) == (person["id"], "success")
        [failed] = await eventually(lambda: api.entries(action="users.login.failed"), "the failure")
        assert (failed["outcome"], failed["data"]["reason"]) == ("denied", "wrong_password")
        assert PASSWORD not in str([entry, failed])
        assert "wrong horse" not in str(failed)
        assert (await api.delete(f"{USERS}/{person['id']}")).status_code == 204
        expected = {
            "logins_total": {"success": 1, "failure": 1},
            "tokens_issued_total": {"password": 1, "client_credentials": 1},
            "daily_active_users": {"all": 1},  # who is deleted now
            "monthly_active_users": {"all": 1},
            "sessions": {"all": 0},
            "users": {"active": 0},
        }
        labels = {"logins_total": "result", "tokens_issued_total": "grant", "users": "state"}

        async def counted() -> bool:
            found = {name: await last_values(api, name, labels.get(name, "none")) for name in expected}
            assert found == expected
            return True

        await eventually(counted, "the metrics of what happened")


async def last_values(api: Api, metric: str, by: str) -> dict[str, int]:
    """The sum of a counter and the present value of a gauge, by label."""
    answer = await api.get("/metrics/query", params={"metric": f"quartet_{metric}", "by": by, "step": "day"})
    series = answer.json()["series"]
    is_counter = metric.endswith("_total")
    values = {one["key"]: [point["value"] for point in one["points"]] for one in series}
    return {key: sum(found) if is_counter else found[-1] for key, found in values.items()}
