"""The examples of the API documentation work as they are shown, on a tenant that has nothing yet."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api
from quartet_testing.openapi import FORM
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack


@pytest.fixture
async def documented(api: Api) -> dict[str, Any]:
    """The operations of users and groups, by method and path."""
    found: dict[str, Any] = {}
    for service in ("users", "groups"):
        paths = (await api.get(f"/{service}/openapi.json")).json()["paths"]
        found |= {f"{method.upper()} {path}": one for path, methods in paths.items() for method, one in methods.items()}
    return found


class Tried:
    """Sends examples, and fails for what is not answered with a 2xx."""

    def __init__(self, api: Api, documented: dict[str, Any]) -> None:
        self.api, self.documented = api, documented

    def example(self, name: str) -> tuple[str, dict[str, Any]]:
        """Media type and body."""
        content = self.documented[name]["requestBody"]["content"]
        media = next(iter(content))
        return media, content[media]["example"]

    async def send(self, name: str, *ids: str, **changes: Any) -> Any:
        """Send the example of an operation to its path with `ids` in it; what was answered."""
        media, example = self.example(name)
        method, path = name.split(" ")
        for one in ids:
            path = f"{path[: path.index('{')]}{one}{path[path.index('}') + 1 :]}"
        body = {**example, **changes}
        how: dict[str, Any] = {"data": body} if media == FORM else {"json": body}
        answer = await self.api.request(method, path, headers={"Content-Type": media}, **how)
        assert answer.is_success, f"{name}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


@pytest.fixture
async def tried(api: Api, documented: dict[str, Any]) -> Tried:
    return Tried(api, documented)


async def test_the_examples_of_scim_work_as_shown(tried: Tried) -> None:
    user = await tried.send("POST /scim/v2/Users")
    assert user["displayName"] == "Barbara Jensen"
    await tried.send("PUT /scim/v2/Users/{user_id}", user["id"])
    assert (await tried.send("PATCH /scim/v2/Users/{user_id}", user["id"]))["nickName"] == "Babs"
    assert (await tried.send("POST /scim/v2/Users/.search"))["totalResults"] == 1
    group = await tried.send("POST /scim/v2/Groups")
    await tried.send("PUT /scim/v2/Groups/{group_id}", group["id"])
    await tried.send("PATCH /scim/v2/Groups/{group_id}", group["id"])
    await tried.send("POST /scim/v2/Groups/.search")
    await tried.send("POST /scim/v2/.search")
    done = await tried.send("POST /scim/v2/Bulk")
    assert [one["status"] for one in done["Operations"]] == ["201", "201"]
    assert (await tried.api.get(USERS)).json()["totalResults"] == 2
    assert (await tried.api.get(GROUPS)).json()["totalResults"] == 2
    assert len(await tried.send("POST /groups/check")) == 1


async def test_the_examples_of_a_tenants_administration_work_as_shown(tried: Tried) -> None:
    user = await tried.api.create_user()
    client = await tried.send("POST /users/clients")
    await tried.send("PATCH /users/clients/{client_id}", client["client_id"])
    await tried.send("POST /users/clients/{client_id}/secrets", client["client_id"])
    role = await tried.send("POST /users/roles")
    await tried.send("PATCH /users/roles/{role_id}", role["id"])
    await tried.send("POST /users/roles/{role_id}/grants", role["id"], id=user["id"])
    await tried.send("POST /users/scim-tokens")
    await tried.send("POST /users/schemas")
    own = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    async with httpx.AsyncClient(base_url=tried.api.base_url, trust_env=False) as anybody:
        tried.api = anybody  # type: ignore[assignment]  # only its `request` is used
        given = await tried.send("POST /oauth2/token", **own)
        assert (await tried.send("POST /oauth2/introspect", **own, token=given["access_token"]))["active"]
        await tried.send("POST /oauth2/revoke", **own, token=given["access_token"])


@pytest.fixture
async def platform(stack: Stack) -> AsyncIterator[Api]:
    """A client that makes tenants."""
    async with Api(stack.url, await asyncio.to_thread(stack.token, "quartet")) as client:
        yield client


async def test_the_examples_of_tenants_and_logins_work_as_shown(
    platform: Api, documented: dict[str, Any], stack: Stack
) -> None:
    tried, tenant = Tried(platform, documented), new_tenant()
    made = await tried.send("POST /users/tenants", id=tenant)
    await tried.send("PATCH /users/tenants/{tenant}", tenant)
    _, shown = tried.example("POST /users/login")
    assert shown.keys() == {"tenant", "user_name", "password"}
    own = {"Authorization": f"Bearer {await asyncio.to_thread(stack.token, tenant)}"}
    person = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": shown["user_name"]}
    answer = await platform.post(USERS, json={**person, "password": shown["password"]}, headers=own)
    assert answer.status_code == 201, answer.text
    session = await tried.send("POST /users/login", tenant=tenant)
    assert made["administrator"]["user_name"] == "admin@acme.example.com"
    async with Api(str(platform.base_url), session["access_token"]) as me:
        await Tried(me, documented).send("POST /users/password")
