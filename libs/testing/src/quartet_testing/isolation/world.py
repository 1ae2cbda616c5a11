"""The world of the isolation walk: a tenant that has something, and a stranger who must not find it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from quartet_cli.stack import Stack
from quartet_common.auth.scopes import SCOPES, SERVICE_SCOPE
from quartet_testing.client import USERS, Api, Document
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

CLIENTS = "/users/clients"
CLIENT_ROUTES = ("read", "change", "delete", "rotate", "end_secret")
SCIM_TOKENS = "/users/scim-tokens"
SCHEMA = "urn:example:params:scim:schemas:extension:badge:2.0:User"
SCHEMA_DOCUMENT = {"id": SCHEMA, "name": "Badge", "attributes": [{"name": "number"}]}
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
OF_A_TENANT = " ".join(sorted(SCOPES - {SERVICE_SCOPE, "platform:admin"}))
"""All that a tenant's own administrator can have."""


@dataclass(frozen=True)
class World:
    """A tenant that has something, and a stranger from another one that has nothing."""

    stack: Stack
    owner: Api
    tenant: str
    stranger: Api
    user: Document
    group: Document
    entry: Document


@asynccontextmanager
async def make_world(stack: Stack) -> AsyncIterator[World]:
    """A tenant with a user, a group, an audit log, counts, and a dead letter at each consumer."""
    tenant = new_tenant()
    tokens = [await asyncio.to_thread(stack.token, one, OF_A_TENANT) for one in (tenant, new_tenant())]
    async with Api(stack.url, tokens[0]) as owner, Api(stack.url, tokens[1]) as stranger:
        user = await owner.create_user(externalId="bjensen", displayName="Barbara Jensen")
        group = await owner.create_group([user["id"]], externalId="guides")
        assert (await owner.post("/users/schemas", json=SCHEMA_DOCUMENT)).status_code == 201
        [entry] = await owner.entries_of(user["id"], "users.user.created")
        await owner.entries_of(group["id"], "groups.group.created")
        await owner.counted("groups.group.created", 1)
        user = await eventually(lambda: in_a_group(owner, user), "the group on the user")
        yield World(stack, owner, tenant, stranger, user, group, entry)


async def in_a_group(owner: Api, user: Document) -> Document | None:
    """The user as it is shown, once its group has been heard of."""
    shown: Document = (await owner.get(f"{USERS}/{user['id']}")).json()
    return shown if "groups" in shown else None


@asynccontextmanager
async def as_service(world: World, name: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the token of the service `name`, which names a tenant in each request."""
    secret = (world.stack.home.secrets / name / "quartet_client_secret").read_text().strip()
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        answer = await client.post("/oauth2/token", data=form, auth=(f"quartet-{name}", secret))
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


Check = Callable[[World, str], Awaitable[None]]


def missing(answer: httpx.Response) -> None:
    """The answer is the one for what does not exist, and says nothing else."""
    assert answer.status_code == 404, answer.text


@asynccontextmanager
async def newcomer(world: World) -> AsyncIterator[Api]:
    """A client for a third tenant, for those checks that write."""
    async with Api(world.stack.url, await asyncio.to_thread(world.stack.token, new_tenant())) as client:
        yield client


def clean(world: World, text: str) -> None:
    """`text` has nothing of the owner's in it."""
    traces = [world.tenant, world.user["id"], world.user["userName"], world.group["id"], world.group["displayName"]]
    found = [trace for trace in traces if trace in text]
    assert not found
