"""SCIM tokens through the proxy: what an identity provider holds works at every service, until it is revoked."""

import asyncio
import os
import subprocess
import sys
from contextlib import AsyncExitStack

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_common.auth.opaque_tokens import SCIM_TOKEN, make
from quartet_testing.client import GROUPS, USERS, Api, TokenFor
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

PATH = "/users/scim-tokens"


async def test_a_scim_token_works_at_users_and_groups_and_is_refused_by_both_when_revoked(api: Api) -> None:
    made = (await api.post(PATH, json={"name": "okta"})).json()
    async with Api(str(api.base_url), made["token"]) as okta:
        user = await okta.create_user(displayName="Barbara Jensen")
        group = await okta.create_group([user["id"]])
        assert [(await okta.get(path)).status_code for path in (USERS, GROUPS)] == [200, 200]
        for resource, action in ((user, "users.user.created"), (group, "groups.group.created")):
            [entry] = await api.entries_of(resource["id"], action)
            assert entry["actor"] == f"scim-token/{made['id']}"
        assert (await api.delete(f"{PATH}/{made['id']}")).status_code == 204
        assert (await okta.get(USERS)).status_code == 401
        await eventually(lambda: refused(okta, GROUPS), "the revocation at groups")
    assert await api.entries_of(made["id"], "users.scim_token.revoked")


async def test_a_scim_token_opens_nothing_but_users_and_groups(api: Api) -> None:
    made = (await api.post(PATH, json={"name": "okta"})).json()
    async with Api(str(api.base_url), made["token"]) as okta:
        for path in ("/audit/events", "/metrics/query?metric=events", PATH, "/users/data/export", "/users/schemas"):
            assert (await okta.get(path)).status_code == 403, path
    assert (await api.delete(f"{PATH}/{made['id']}")).status_code == 204


@pytest.mark.local_stack
async def test_what_is_no_scim_token_is_refused_everywhere(stack: Stack) -> None:
    token = make(SCIM_TOKEN, new_tenant())
    for wrong in (token, token[:-1], token[:-6] + "AAAAAA", SCIM_TOKEN + "a" * 9000, SCIM_TOKEN, token.upper()):
        async with Api(stack.url, wrong) as nobody:
            for path in (USERS, GROUPS, "/audit/events", "/metrics/query?metric=events"):
                assert (await nobody.get(path)).status_code in (401, 431), (path, wrong[:80])


@pytest.mark.local_stack
async def test_the_command_prints_a_token_and_nothing_else_and_revokes_it(stack: Stack, token_for: TokenFor) -> None:
    tenant = new_tenant()
    await token_for(tenant)  # which makes the tenant
    token = (await command(stack, "create", "okta", "--tenant", tenant, "--days", "30")).strip()
    assert token.startswith(f"quartet_scim_{tenant}_")
    async with Api(stack.url, token) as okta:
        assert (await okta.get(USERS)).status_code == 200
        listed = await command(stack, "list", "--tenant", tenant)
        assert f"{token[-4:]}" in listed
        assert token not in listed
        [token_id] = [line.split()[0] for line in listed.splitlines() if f"...{token[-4:]} " in line]
        await command(stack, "revoke", token_id, "--tenant", tenant, "--yes")
        assert (await okta.get(USERS)).status_code == 401
    assert "revoked" in await command(stack, "list", "--tenant", tenant)


@pytest.mark.local_stack
async def test_clients_introspect_and_revoke_through_the_proxy(stack: Stack, token_for: TokenFor) -> None:
    tenant = new_tenant()
    secret = (stack.home.secrets / "admin/quartet_client_secret").read_text().strip()
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(httpx.AsyncClient(base_url=stack.url, trust_env=False))
        token = await token_for(tenant)
        api = await opened.enter_async_context(Api(stack.url, token))
        scim = (await api.post(PATH, json={"name": "okta"})).json()["token"]
        for one in (token, scim):
            answer = await client.post("/oauth2/introspect", data={"token": one}, auth=("quartet-admin", secret))
            assert (answer.status_code, answer.json()["tenant"]) == (200, tenant)
        assert (await api.get(GROUPS)).status_code == 200
        answer = await client.post("/oauth2/revoke", data={"token": token}, auth=("quartet-admin", secret))
        assert answer.status_code == 200
        assert (await api.get(USERS)).status_code == 401
        await eventually(lambda: refused(api, GROUPS), "the revocation at groups")


async def refused(api: Api, path: str) -> bool:
    """Whether the token is no good any more."""
    return (await api.get(path)).status_code == 401


async def command(stack: Stack, *arguments: str) -> str:
    """What `./quartet scim-tokens ...` prints."""
    environment = {**os.environ, "QUARTET_HOME": str(stack.home.path)}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "quartet_cli", "scim-tokens", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
