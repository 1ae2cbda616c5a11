"""Archived tenants: one with something of each kind, and what a deployment answers of it, for comparisons."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from quartet_cli import tokens
from quartet_cli.api import Api as Commands
from quartet_cli.profiles import Profile
from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, unique
from quartet_testing.services import new_tenant

PASSWORD = "correct horse battery staple"  # noqa: S105  # of users that tests make
SCHEMA = "urn:example:Badge:2.0:User"

Read = Callable[[str], Awaitable[Any]]
"""Gives the JSON of a path, as the tenant's administrator."""


@dataclass(frozen=True)
class FilledTenant:
    """A tenant and what was made in it."""

    id: str
    user_name: str
    users: tuple[str, ...]
    groups: tuple[str, ...]
    role: str
    client: str
    secret: str

    @property
    def paths(self) -> list[str]:
        """What both deployments must answer alike."""
        return [
            f"{USERS}?sortBy=id&count=200",
            f"{GROUPS}?sortBy=id&count=200",
            "/users/schemas",
            "/users/roles",
            f"/users/roles/{self.role}",
            f"/users/roles/{self.role}/grants",
            "/users/clients",
            "/users/origins",
            *(f"/groups/{group}/members" for group in self.groups),
            *(f"/groups/of/{user}" for user in self.users),
            f"/groups/check?user={self.users[0]}&group={self.groups[1]}",
            "/audit/retention",
            f"/users/sessions?user={self.users[0]}",
        ]


async def fill_tenant(stack: Stack, users: int = 5) -> FilledTenant:
    """A new tenant with users, nested groups, a schema, a role, a client, a SCIM token, an origin and a retention."""
    tenant = new_tenant()
    async with Api(stack.url, await asyncio.to_thread(stack.token, "quartet")) as platform:
        assert (await platform.post("/users/tenants", json={"id": tenant})).status_code == 201
    async with Api(stack.url, await asyncio.to_thread(stack.token, tenant)) as api:
        schema = {"id": SCHEMA, "name": "Badge", "attributes": [{"name": "number"}]}
        await made(api, "/users/schemas", schema)
        first = await api.create_user(
            password=PASSWORD, externalId="0815", displayName="Barbara", **{SCHEMA: {"number": "7"}}
        )
        others = [await api.create_user(active=number > 0) for number in range(users - 1)]
        ids = [user["id"] for user in (first, *others)]
        inner = await api.create_group(ids[:3], externalId="guides")
        outer = await api.create_group([inner["id"], ids[-1]])
        assert (await api.put(f"{USERS}/{ids[1]}", json={**others[0], "displayName": "Changed"})).status_code == 200
        gone = await api.create_user()
        left = await api.create_group([gone["id"]])
        assert (await api.delete(f"{USERS}/{gone['id']}")).status_code == 204
        role = await made(api, "/users/roles", {"name": unique("r"), "scopes": ["users:read"]})
        for kind, grantee in (("User", ids[0]), ("Group", outer["id"])):
            await made(api, f"/users/roles/{role['id']}/grants", {"type": kind, "id": grantee})
        client = await made(api, "/users/clients", {"name": "reporting", "scopes": ["users:read"]})
        await made(api, "/users/scim-tokens", {"name": "okta"})
        await made(api, "/users/origins", {"origin": f"https://{unique('o')}.example.com"})
        assert (await api.put("/audit/retention", json={"days": 365})).status_code == 200
        login = {"tenant": tenant, "user_name": first["userName"], "password": PASSWORD}
        assert (await api.post("/users/login", json=login)).status_code == 200
        await api.entries_of(left["id"], "groups.membership.removed")
        await api.entries_of(first["id"], "users.user.created")
    groups = (inner["id"], outer["id"])
    return FilledTenant(
        tenant, first["userName"], tuple(ids), groups, role["id"], client["client_id"], client["client_secret"]
    )


def platform_of(stack: Stack) -> Commands:
    """What a command sends its requests with, as the administrator of the platform."""
    secret = tokens.own_secret(stack.home)
    return Commands(Profile(stack.url, tokens.PLATFORM, client_id=tokens.CLIENT, client_secret=secret))


async def made(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a POST has created."""
    answer = await api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())
