"""Tenants, route by route: nothing of one can be seen, changed or guessed by another."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import aio_pika
import httpx
import pytest
from quart import Quart
from yarl import URL

from quartet_cli.errors import QuartetError
from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_common.auth.principal import SCOPES, SERVICE_SCOPE
from quartet_testing.client import (
    GROUPS,
    USERS,
    Api,
    Document,
    bulk_document,
    group_document,
    patch_document,
    unique,
    user_document,
)
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

TENANTLESS = {
    "health.live": "says that the process runs",
    "health.ready": "says which servers answer",
    "docs.page": "is the same for everybody",
    "docs.asset": "is the same for everybody",
    "openapi": "is the same for everybody",
    "discovery.config_document": "is the same for everybody",
    "scim.create_me": "always refuses",
    "oauth.token": "gives tokens for the tenants of the client whose secret was sent",
    "metadata.jwks": "public keys, the same for all tenants",
    "metadata.server": "is the same for everybody",
    "keys.list_": "the platform's, by the scope that exists in its tenant only",
    "keys.rotate": "the platform's, by the scope that exists in its tenant only",
    "rabbitmq.outbox": "a depth and an age over all tenants, nothing of what is in it",
    "rabbitmq.queues": "depths over all tenants, nothing of what is in them",
    "metrics.known": "is the same for everybody",
}
"""Routes that hold nothing of a tenant, and why."""

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


@pytest.fixture(scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
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


async def users_are_created_apart(world: World, _: str) -> None:
    same = {"userName": world.user["userName"], "externalId": "bjensen"}
    async with newcomer(world) as third:
        twin = await third.create_user(**same)
        assert twin["id"] != world.user["id"]
        assert (await third.delete(f"{USERS}/{twin['id']}")).status_code == 204
    assert (await world.owner.get(f"{USERS}/{world.user['id']}")).json() == world.user


async def users_are_listed_apart(world: World, _: str) -> None:
    queries = [{}, *({"filter": f'{name} eq "{world.user[name]}"'} for name in ("id", "userName", "externalId"))]
    for query in queries:
        own = (await world.owner.get(USERS, params=query)).json()
        assert own["totalResults"] == 1
        answer = await world.stranger.get(USERS, params=query)
        assert (answer.status_code, answer.json()["totalResults"]) == (200, 0)
        clean(world, answer.text)


async def users_are_searched_apart(world: World, _: str) -> None:
    await searched_apart(world, f"{USERS}/.search", 1)


async def groups_are_searched_apart(world: World, _: str) -> None:
    await searched_apart(world, f"{GROUPS}/.search", 1)


async def everything_is_searched_apart(world: World, _: str) -> None:
    await searched_apart(world, "/scim/v2/.search", 2)


async def everything_is_listed_apart(world: World, _: str) -> None:
    assert (await world.owner.get("/scim/v2/")).json()["totalResults"] == 2
    answer = await world.stranger.get("/scim/v2/")
    assert (answer.status_code, answer.json()["totalResults"]) == (200, 0)
    clean(world, answer.text)


async def searched_apart(world: World, path: str, number: int) -> None:
    """The owner finds so many resources, the stranger none, not even by the owner's cursor."""
    for query in ({}, {"filter": "id pr"}, {"sortBy": "id"}):
        body = {"schemas": [SEARCH], **query}
        assert (await world.owner.post(path, json=body)).json()["totalResults"] == number
        answer = await world.stranger.post(path, json=body)
        assert (answer.status_code, answer.json()["totalResults"]) == (200, 0)
        clean(world, answer.text)
    async with newcomer(world) as third:
        for _ in range(2):
            await third.create_group([(await third.create_user())["id"]])
        page = (await third.post(path, json={"schemas": [SEARCH], "cursor": "", "count": 1})).json()
        for other in (world.owner, world.stranger):
            onward = {"schemas": [SEARCH], "cursor": page["nextCursor"], "count": 1}
            answer = await other.post(path, json=onward)
            assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidCursor")


async def groups_are_searched_apart_by_services(world: World, _: str) -> None:
    body = {"schemas": [SEARCH], "filter": "userName pr or displayName pr"}
    assert (await world.stranger.post("/groups/search", json=body)).status_code == 403
    secret = (world.stack.home.secrets / "users/quartet_client_secret").read_text().strip()
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = (await client.post("/oauth2/token", data=form, auth=("quartet-users", secret))).json()["access_token"]
        for tenant, found in ((world.tenant, [world.group["id"]]), (new_tenant(), [])):
            headers = {"Authorization": f"Bearer {token}", "Quartet-Tenant": tenant}
            answer = await client.post("/groups/search", json=body, headers=headers)
            assert [group["id"] for group in answer.json()["Resources"]] == found
        nameless = await client.post("/groups/search", json=body, headers={"Authorization": f"Bearer {token}"})
        assert nameless.status_code == 400


async def a_user_is_not_read(world: World, _: str) -> None:
    missing(await world.stranger.get(f"{USERS}/{world.user['id']}"))


async def a_user_is_not_replaced(world: World, _: str) -> None:
    missing(await world.stranger.put(f"{USERS}/{world.user['id']}", json=user_document()))
    assert (await world.owner.get(f"{USERS}/{world.user['id']}")).json() == world.user


async def a_user_is_not_patched(world: World, _: str) -> None:
    rename = patch_document({"op": "replace", "path": "displayName", "value": "taken over"})
    missing(await world.stranger.patch(f"{USERS}/{world.user['id']}", json=rename))
    assert (await world.owner.get(f"{USERS}/{world.user['id']}")).json() == world.user


async def a_user_is_not_deleted(world: World, _: str) -> None:
    missing(await world.stranger.delete(f"{USERS}/{world.user['id']}"))
    assert (await world.owner.get(f"{USERS}/{world.user['id']}")).json() == world.user


async def users_are_looked_up_apart(world: World, _: str) -> None:
    body = {"ids": [world.user["id"]]}
    assert (await world.stranger.post("/users/lookup", json=body)).status_code == 403
    secret = (world.stack.home.secrets / "groups/quartet_client_secret").read_text().strip()
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = (await client.post("/oauth2/token", data=form, auth=("quartet-groups", secret))).json()["access_token"]
        for tenant, found in ((world.tenant, [world.user["id"]]), (new_tenant(), [])):
            headers = {"Authorization": f"Bearer {token}", "Quartet-Tenant": tenant}
            answer = await client.post("/users/lookup", json=body, headers=headers)
            assert [user["id"] for user in answer.json()["users"]] == found
        nameless = await client.post("/users/lookup", json=body, headers={"Authorization": f"Bearer {token}"})
        assert nameless.status_code == 400


async def schemas_are_discovered_apart(world: World, _: str) -> None:
    for path in ("/scim/v2/Schemas", "/scim/v2/ResourceTypes", "/scim/v2/ResourceTypes/User"):
        assert SCHEMA in (await world.owner.get(path)).text
        answers = [await world.stranger.get(path), await without_token(world, path)]
        assert all(answer.status_code == 200 and SCHEMA not in answer.text for answer in answers)
    path = f"/scim/v2/Schemas/{SCHEMA}"
    assert (await world.owner.get(path)).status_code == 200
    missing(await world.stranger.get(path))
    missing(await without_token(world, path))


async def without_token(world: World, path: str) -> httpx.Response:
    """The answer to somebody who has no token."""
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        return await client.get(path)


PASSWORD = "correct horse battery staple"


async def log_in(world: World, tenant: str, user_name: str, password: str = PASSWORD) -> httpx.Response:
    """The answer to a login."""
    body = {"tenant": tenant, "user_name": user_name, "password": password}
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        return await client.post("/users/login", json=body)


async def begun(world: World, user: Document) -> Document:
    """The tokens of a new session of the owner's user, who gets a password for it."""
    change = patch_document({"op": "add", "path": "password", "value": PASSWORD})
    assert (await world.owner.patch(f"{USERS}/{user['id']}", json=change)).status_code == 200
    answer = await log_in(world, world.tenant, user["userName"])
    assert answer.status_code == 200, answer.text
    tokens: Document = answer.json()
    return tokens


async def people_log_in_apart(world: World, _: str) -> None:
    user = await world.owner.create_user(password=PASSWORD)
    async with newcomer(world) as third:
        twin = await third.create_user(userName=user["userName"], password="another horse battery staple")
        [entry] = await third.entries_of(twin["id"], "users.user.created")
    assert (await log_in(world, world.tenant, user["userName"])).json()["user_id"] == user["id"]
    assert (await log_in(world, entry["tenant"], user["userName"])).status_code == 401
    assert (await world.owner.delete(f"{USERS}/{user['id']}")).status_code == 204


async def sessions_are_apart(world: World, _: str) -> None:
    user = await world.owner.create_user()
    tokens = await begun(world, user)
    path, query = f"/users/sessions/{tokens['session_id']}", {"user": user["id"]}
    missing(await world.stranger.delete(path))
    missing(await world.stranger.delete("/users/sessions", params=query))
    assert (await world.stranger.delete("/users/sessions", params={**query, "others": "true"})).status_code == 204
    seen = await world.stranger.get("/users/sessions", params=query)
    assert (seen.status_code, seen.json()["sessions"]) == (200, [])
    [kept] = (await world.owner.get("/users/sessions", params=query)).json()["sessions"]
    assert kept["id"] == tokens["session_id"]
    assert (await world.owner.delete(f"{USERS}/{user['id']}")).status_code == 204


async def people_read_and_change_only_themselves(world: World, _: str) -> None:
    user, twin = await world.owner.create_user(), await world.owner.create_user()
    async with Api(world.stack.url, (await begun(world, user))["access_token"]) as person:
        assert (await person.get("/scim/v2/Me")).json()["id"] == user["id"]
        change = {"old_password": PASSWORD, "new_password": "another horse battery staple"}
        other = (await begun(world, twin))["session_id"]
        assert (await person.post("/users/password", json=change)).status_code == 204
        missing(await person.delete(f"/users/sessions/{other}"))
    assert (await log_in(world, world.tenant, twin["userName"])).status_code == 200
    for one in (user, twin):
        assert (await world.owner.delete(f"{USERS}/{one['id']}")).status_code == 204


async def schemas_are_registered_apart(world: World, _: str) -> None:
    async with newcomer(world) as third:
        assert (await third.post("/users/schemas", json=SCHEMA_DOCUMENT)).status_code == 201
        assert (await third.delete(f"/users/schemas/{SCHEMA}")).status_code == 204
    assert (await world.owner.get(f"/users/schemas/{SCHEMA}")).status_code == 200


async def schemas_are_listed_apart(world: World, _: str) -> None:
    assert SCHEMA in (await world.owner.get("/users/schemas")).text
    answer = await world.stranger.get("/users/schemas")
    assert (answer.status_code, answer.json()["totalResults"]) == (200, 0)


async def a_schema_is_not_read(world: World, _: str) -> None:
    missing(await world.stranger.get(f"/users/schemas/{SCHEMA}"))


async def a_schema_is_not_deleted(world: World, _: str) -> None:
    missing(await world.stranger.delete(f"/users/schemas/{SCHEMA}"))
    assert (await world.owner.get(f"/users/schemas/{SCHEMA}")).status_code == 200


async def scim_tokens_are_made_apart(world: World, _: str) -> None:
    async with newcomer(world) as third:
        made = (await third.post(SCIM_TOKENS, json={"name": "okta"})).json()
        headers = {"Authorization": f"Bearer {made['token']}"}
        found = await third.get(USERS, headers=headers)
        assert (found.status_code, found.json()["totalResults"]) == (200, 0)
        missing(await third.get(f"{USERS}/{world.user['id']}", headers=headers))
        assert (await third.delete(f"{SCIM_TOKENS}/{made['id']}")).status_code == 204


async def scim_tokens_are_listed_apart(world: World, _: str) -> None:
    made = {await a_scim_token(world, f"idp {number}") for number in range(2)}
    assert made <= {one["id"] for one in (await world.owner.get(SCIM_TOKENS)).json()["scim_tokens"]}
    page = (await world.owner.get(SCIM_TOKENS, params={"count": 1})).json()
    assert page["next"]
    answer = await world.stranger.get(SCIM_TOKENS)
    assert answer.status_code == 200
    assert made.isdisjoint(one["id"] for one in answer.json()["scim_tokens"])
    clean(world, answer.text)
    assert (await world.stranger.get(SCIM_TOKENS, params={"cursor": page["next"]})).status_code == 400


async def a_scim_token_is_not_read(world: World, _: str) -> None:
    missing(await world.stranger.get(f"{SCIM_TOKENS}/{await a_scim_token(world)}"))


async def a_scim_token_is_not_revoked(world: World, _: str) -> None:
    path = f"{SCIM_TOKENS}/{await a_scim_token(world)}"
    missing(await world.stranger.delete(path))
    assert (await world.owner.get(path)).json()["revoked_at"] is None


async def tokens_are_told_of_and_ended_apart(world: World, _: str) -> None:
    async with newcomer(world) as third:
        client = (await third.post("/users/clients", json={"name": "crm", "scopes": ["users:read"]})).json()
        credentials = (client["client_id"], client["client_secret"])
        own = (await third.post(SCIM_TOKENS, json={"name": "okta"})).json()["token"]
        # of the same client by name, but in another tenant
        foreign = await world.owner.post(SCIM_TOKENS, json={"name": "okta", "client_id": client["client_id"]})
        token = foreign.json()["token"]
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False, auth=credentials) as crm:
        assert (await crm.post("/oauth2/introspect", data={"token": own})).json()["active"]
        assert (await crm.post("/oauth2/introspect", data={"token": token})).json() == {"active": False}
        assert (await crm.post("/oauth2/revoke", data={"token": token})).status_code == 200
    read = await world.owner.get(f"{SCIM_TOKENS}/{foreign.json()['id']}")
    assert read.json()["revoked_at"] is None


async def a_scim_token(world: World, name: str = "okta") -> str:
    """The id of a new token of the owner's."""
    made = await world.owner.post(SCIM_TOKENS, json={"name": name})
    assert made.status_code == 201
    return str(made.json()["id"])


async def a_client(world: World) -> str:
    """The id of a new API client of the owner's."""
    made = await world.owner.post(CLIENTS, json={"name": "reporting", "scopes": ["users:read"]})
    assert made.status_code == 201, made.text
    return str(made.json()["client_id"])


async def clients_are_made_apart(world: World, _: str) -> None:
    async with newcomer(world) as third:
        made = (await third.post(CLIENTS, json={"name": "reporting", "scopes": ["users:read"]})).json()
        form = {"grant_type": "client_credentials"}
        pair = (made["client_id"], made["client_secret"])
        own = await third.post("/oauth2/token", data=form, auth=pair)
        headers = {"Authorization": f"Bearer {own.json()['access_token']}"}
        missing(await third.get(f"{USERS}/{world.user['id']}", headers=headers))
        other = await third.post("/oauth2/token", data={**form, "tenant": "default"}, auth=pair)
        assert (other.status_code, other.json()["error"]) == (400, "invalid_request")
        assert (await third.delete(f"{CLIENTS}/{made['client_id']}")).status_code == 204


async def clients_are_listed_apart(world: World, _: str) -> None:
    made = {await a_client(world) for _number in range(2)}
    assert made <= {one["client_id"] for one in (await world.owner.get(CLIENTS)).json()["clients"]}
    page = (await world.owner.get(CLIENTS, params={"count": 1})).json()
    assert page["next"]
    answer = await world.stranger.get(CLIENTS)
    assert [one["name"] for one in answer.json()["clients"]] == ["provisioning"]  # what its own tenant began with
    assert made.isdisjoint(one["client_id"] for one in answer.json()["clients"])
    clean(world, answer.text)
    assert (await world.stranger.get(CLIENTS, params={"cursor": page["next"]})).status_code == 400


async def a_client_is_not_touched(world: World, _: str) -> None:
    path = f"{CLIENTS}/{await a_client(world)}"
    before = (await world.owner.get(path)).json()
    async with newcomer(world) as third:  # its own log tells what it asked for: the stranger's must stay clean
        for answer in (
            await third.get(path),
            await third.patch(path, json={"name": "taken over"}),
            await third.delete(path),
            await third.post(f"{path}/secrets", json={"overlap_seconds": 0}),
            await third.delete(f"{path}/secrets/{before['secrets'][0]['id']}"),
        ):
            missing(answer)
    assert (await world.owner.get(path)).json() == before


async def tenants_are_the_platforms(world: World, _: str) -> None:
    """Nobody inside a tenant, whatever is theirs there, sees or changes tenants, not even their own."""
    tenant = new_tenant()
    path = f"/users/tenants/{tenant}"
    own = await asyncio.to_thread(world.stack.token, tenant, OF_A_TENANT)
    async with Api(world.stack.url, own) as owner:
        for one in (world.stranger, owner):
            answers = [
                await one.get("/users/tenants"),
                await one.post("/users/tenants", json={"id": new_tenant()}),
                await one.get(path),
                await one.patch(path, json={"display_name": "taken over"}),
                *[await one.post(f"{path}/{change}") for change in ("suspend", "resume")],
                await one.delete(path),
            ]
            assert [answer.status_code for answer in answers] == [403] * len(answers)
    with pytest.raises(QuartetError, match="invalid_scope"):
        await asyncio.to_thread(world.stack.token, tenant, "platform:admin")
    token = await asyncio.to_thread(world.stack.token, "quartet", "platform:admin")
    async with Api(world.stack.url, token) as platform:
        found = (await platform.get(path)).json()
        assert (found["status"], found["display_name"]) == ("active", "")
        cursor = (await platform.get("/users/tenants", params={"count": 1, "status": "active"})).json()["next"]
        assert (await platform.get("/users/tenants", params={"cursor": cursor})).status_code == 400


async def a_role(owner: Api) -> str:
    """The address of a role that nothing else has."""
    answer = await owner.post("/users/roles", json={"name": unique("Auditor"), "scopes": ["audit:read"]})
    assert answer.status_code == 201, answer.text
    return f"/users/roles/{answer.json()['id']}"


async def roles_are_made_apart(world: World, _: str) -> None:
    name = (await world.owner.get(await a_role(world.owner))).json()["name"]
    body = {"name": name, "scopes": ["audit:read"]}
    async with newcomer(world) as third:
        assert (await third.post("/users/roles", json=body)).status_code == 201
    assert (await world.owner.post("/users/roles", json=body)).status_code == 409


async def roles_are_listed_apart(world: World, _: str) -> None:
    known = {(await a_role(world.owner)).rpartition("/")[2] for _ in range(2)}
    page = (await world.owner.get("/users/roles", params={"count": 1})).json()
    assert known <= {one["id"] for one in (await world.owner.get("/users/roles")).json()["roles"]}
    assert not known & {one["id"] for one in (await world.stranger.get("/users/roles")).json()["roles"]}
    answer = await world.stranger.get("/users/roles", params={"cursor": page["next"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


async def a_role_is_not_read(world: World, _: str) -> None:
    missing(await world.stranger.get(await a_role(world.owner)))


async def a_role_is_not_changed(world: World, _: str) -> None:
    path = await a_role(world.owner)
    missing(await world.stranger.patch(path, json={"scopes": ["users:read"]}))
    assert (await world.owner.get(path)).json()["version"] == 1


async def a_role_is_not_deleted(world: World, _: str) -> None:
    path = await a_role(world.owner)
    missing(await world.stranger.delete(path))
    assert (await world.owner.get(path)).status_code == 200


async def who_has_a_role_is_not_listed(world: World, _: str) -> None:
    missing(await world.stranger.get(f"{await a_role(world.owner)}/grants"))


async def a_role_is_not_given(world: World, _: str) -> None:
    own, foreign = await a_role(world.owner), await a_role(world.stranger)
    for kind, one in (("User", world.user["id"]), ("Group", world.group["id"])):
        grant = {"type": kind, "id": one}
        missing(await world.stranger.post(f"{own}/grants", json=grant))
        answer = await world.stranger.post(f"{foreign}/grants", json=grant)
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_grantee")
        assert (await world.owner.post(f"{own}/grants", json=grant)).status_code == 201
    assert (await world.owner.delete(own)).status_code == 204


async def a_role_is_not_taken(world: World, _: str) -> None:
    path = await a_role(world.owner)
    assert (await world.owner.post(f"{path}/grants", json={"type": "User", "id": world.user["id"]})).status_code == 201
    missing(await world.stranger.delete(f"{path}/grants/{world.user['id']}"))
    assert len((await world.owner.get(f"{path}/grants")).json()["grants"]) == 1
    assert (await world.owner.delete(path)).status_code == 204


async def roles_of_a_user_are_not_told(world: World, _: str) -> None:
    assert (await world.owner.get(f"/users/roles/of/{world.user['id']}")).status_code == 200
    missing(await world.stranger.get(f"/users/roles/of/{world.user['id']}"))


async def a_bulk_reaches_nothing_foreign(world: World, _: str) -> None:
    user, group = f"/Users/{world.user['id']}", f"/Groups/{world.group['id']}"
    join = {"op": "add", "path": "members", "value": [{"value": world.user["id"]}]}
    stolen: Document = {"method": "POST", "path": "/Groups", "bulkId": "g", "data": group_document([world.user["id"]])}
    operations: list[Document] = [
        {"method": "PUT", "path": user, "data": user_document()},
        {"method": "PATCH", "path": user, "data": [{"op": "add", "path": "title", "value": "taken over"}]},
        {"method": "DELETE", "path": user},
        {"method": "PUT", "path": group, "data": group_document()},
        {"method": "PATCH", "path": group, "data": [join]},
        {"method": "DELETE", "path": group},
        stolen,
        {"method": "PATCH", "path": "/Groups/bulkId:g", "data": [join]},
        {"method": "POST", "path": "/Users", "bulkId": "twin", "data": user_document(userName=world.user["userName"])},
    ]
    async with newcomer(world) as third:
        answer = await third.post("/scim/v2/Bulk", json=bulk_document(*operations))
        results = answer.json()["Operations"]
        assert [one["status"] for one in results] == ["404"] * 6 + ["400", "409", "201"]
        assert world.user["id"] not in json.dumps([one.get("response") for one in results[:6]])
        assert (await third.delete(results[-1]["location"])).status_code == 204
    assert (await world.owner.get(f"{USERS}/{world.user['id']}")).json() == world.user
    assert (await world.owner.get(f"{GROUPS}/{world.group['id']}")).json() == world.group


async def group_operations_of_a_bulk_are_apart(world: World, _: str) -> None:
    change = {"method": "PUT", "id": world.group["id"], "data": group_document()}
    steal = {"method": "POST", "id": str(uuid4()), "data": group_document([world.user["id"]])}
    body = {"operations": [change, {"method": "DELETE", "id": world.group["id"]}, steal]}
    assert (await world.owner.post("/groups/bulk", json=body)).status_code == 403
    secret = (world.stack.home.secrets / "users/quartet_client_secret").read_text().strip()
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = (await client.post("/oauth2/token", data=form, auth=("quartet-users", secret))).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Quartet-Tenant": new_tenant()}
        answer = await client.post("/groups/bulk", json=body, headers=headers)
        assert [one["status"] for one in answer.json()["results"]] == [404, 404, 400]
        nameless = await client.post("/groups/bulk", json=body, headers={"Authorization": f"Bearer {token}"})
        assert nameless.status_code == 400
    assert (await world.owner.get(f"{GROUPS}/{world.group['id']}")).json() == world.group


async def groups_take_no_foreign_members(world: World, _: str) -> None:
    answer = await world.stranger.post(GROUPS, json=group_document([world.user["id"]]))
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    await groups_take_no_foreign_groups(world)


async def groups_are_listed_apart(world: World, _: str) -> None:
    queries = [{}, *({"filter": f'{name} eq "{world.group[name]}"'} for name in ("id", "displayName", "externalId"))]
    for query in queries:
        own = (await world.owner.get(GROUPS, params=query)).json()
        assert own["totalResults"] == 1
        answer = await world.stranger.get(GROUPS, params=query)
        assert (answer.status_code, answer.json()["totalResults"]) == (200, 0)
        clean(world, answer.text)


async def a_group_is_not_read(world: World, _: str) -> None:
    missing(await world.stranger.get(f"{GROUPS}/{world.group['id']}"))


async def a_group_is_not_replaced(world: World, _: str) -> None:
    missing(await world.stranger.put(f"{GROUPS}/{world.group['id']}", json=group_document()))
    own = await world.stranger.create_group()
    document = group_document([world.user["id"]], displayName=own["displayName"])
    answer = await world.stranger.put(f"{GROUPS}/{own['id']}", json=document)
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    assert (await world.stranger.delete(f"{GROUPS}/{own['id']}")).status_code == 204
    kept = (await world.owner.get(f"{GROUPS}/{world.group['id']}")).json()
    assert [member["value"] for member in kept["members"]] == [world.user["id"]]


async def a_group_is_not_patched(world: World, _: str) -> None:
    join = patch_document({"op": "add", "path": "members", "value": [{"value": world.user["id"]}]})
    missing(await world.stranger.patch(f"{GROUPS}/{world.group['id']}", json=join))
    own = await world.stranger.create_group()
    answer = await world.stranger.patch(f"{GROUPS}/{own['id']}", json=join)
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    assert (await world.stranger.delete(f"{GROUPS}/{own['id']}")).status_code == 204


async def a_group_is_not_deleted(world: World, _: str) -> None:
    missing(await world.stranger.delete(f"{GROUPS}/{world.group['id']}"))
    assert (await world.owner.get(f"{GROUPS}/{world.group['id']}")).status_code == 200


async def groups_take_no_foreign_groups(world: World) -> None:
    for sent in ({"value": world.group["id"]}, {"value": world.group["id"], "type": "Group"}):
        answer = await world.stranger.post(GROUPS, json={**group_document(), "members": [sent]})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")


async def members_are_paged_apart(world: World, _: str) -> None:
    path = f"/groups/{world.group['id']}/members"
    assert [one["value"] for one in (await world.owner.get(path)).json()["members"]] == [world.user["id"]]
    missing(await world.stranger.get(path))


async def memberships_are_checked_apart(world: World, _: str) -> None:
    asked = {"user": world.user["id"], "group": world.group["id"]}
    own = (await world.owner.get("/groups/check", params=asked)).json()
    assert (own["member"], own["path"][0]["display"]) == (True, world.group["displayName"])
    answer = await world.stranger.get("/groups/check", params=asked)
    assert answer.json() == {**asked, "member": False, "direct": False, "path": []}


async def memberships_are_checked_apart_in_batches(world: World, _: str) -> None:
    asked = {"user": world.user["id"], "group": world.group["id"]}
    body = {"checks": [asked]}
    assert (await world.owner.post("/groups/check", json=body)).json()["results"][0]["member"]
    answer = await world.stranger.post("/groups/check", json=body)
    assert answer.json() == {"results": [{**asked, "member": False, "direct": False, "path": []}]}


async def groups_of_a_user_are_listed_apart(world: World, _: str) -> None:
    path = f"/groups/of/{world.user['id']}"
    assert [one["value"] for one in (await world.owner.get(path)).json()["groups"]] == [world.group["id"]]
    assert (await world.stranger.get(path)).json() == {"groups": [], "next": None}


async def entries_are_listed_apart(world: World, _: str) -> None:
    queries = [
        {},
        {"resource": world.user["id"]},
        {"actor": world.entry["actor"]},
        {"action": "users.user.*"},
        {"outcome": "success", "order": "asc"},
    ]
    for query in queries:
        answer = await world.stranger.get("/audit/events", params={**query, "limit": 500})
        assert answer.status_code == 200
        clean(world, answer.text)
    cursor = (await world.owner.get("/audit/events", params={"limit": 1})).json()["next"]
    assert cursor
    answer = await world.stranger.get("/audit/events", params={"limit": 1, "cursor": cursor})
    assert answer.status_code == 400


async def an_entry_is_not_read(world: World, _: str) -> None:
    assert (await world.owner.get(f"/audit/events/{world.entry['id']}")).status_code == 200
    missing(await world.stranger.get(f"/audit/events/{world.entry['id']}"))


async def counts_are_apart(world: World, _: str) -> None:
    assert await world.owner.count("groups.group.created") == 1
    async with newcomer(world) as third:
        await third.create_user()
        await third.counted("users.user.created", 1)
        answer = await third.get("/metrics/query", params={"metric": "events", "by": "type"})
        assert not [series["key"] for series in answer.json()["series"] if series["key"].startswith("groups.")]


async def exports_are_apart(world: World, service: str) -> None:
    answer = await world.stranger.get(f"/{service}/data/export")
    assert answer.status_code == 200
    clean(world, answer.text)
    if service == "metrics":  # numbers look alike, whoever's they are
        async with newcomer(world) as third:
            await third.create_user()
            await third.counted("users.user.created", 1)
            lines = (await third.get("/metrics/data/export")).text.splitlines()
        counts = {one["action"]: one["count"] for line in lines[:-1] if (one := json.loads(line)["data"])}
        assert counts["users.user.created"] == 1
        assert not [action for action in counts if action.startswith("groups.")]


async def dead_letters_are_apart(world: World, service: str) -> None:
    path = f"/{service}/rabbitmq/dead-letters"
    letter = await put_dead_letter(world, service)
    own = (await world.owner.get(path, params={"limit": 100})).json()
    assert letter in [each["id"] for each in own["dead_letters"]]
    foreign = (await world.stranger.get(path, params={"limit": 100})).json()
    assert foreign["dead_letters"] == []
    clean(world, json.dumps(foreign))


async def dead_letters_are_redriven_apart(world: World, service: str) -> None:
    path = f"/{service}/rabbitmq/dead-letters/redrive"
    letter = await put_dead_letter(world, service)
    assert (await world.stranger.post(path)).json() == {"redriven": 0}
    assert (await world.stranger.post(path, params={"id": letter})).json() == {"redriven": 0}
    assert (await world.owner.post(path, params={"id": letter})).json() == {"redriven": 1}


async def put_dead_letter(world: World, service: str) -> str:
    """Put an event of the owner where it ends when it fails too often; returns its id."""
    message_id = str(uuid4())
    event = {
        "specversion": "1.0",
        "id": message_id,
        "source": "/users",
        "type": "quartet.users.probe.sent.v1",
        "subject": f"users/{world.user['id']}",
        "time": world.entry["time"],
        "tenantid": world.tenant,
        "actorid": "tester",
        "sequence": 1,
        "data": {},
    }
    environment = world.stack.environment(service, "worker")
    password = (world.stack.home.secrets / service / "quartet_broker_password").read_text().strip()
    async with await aio_pika.connect(URL(environment["QUARTET_BROKER_URL"]).with_password(password)) as connection:
        channel = await connection.channel()
        message = aio_pika.Message(json.dumps(event).encode(), message_id=message_id, type=event["type"])
        await channel.default_exchange.publish(message, f"quartet.{service}.dead")
    return message_id


EVERYWHERE: dict[str, Check] = {
    "data.export": exports_are_apart,
    "rabbitmq.dead_letters": dead_letters_are_apart,
    "rabbitmq.redrive": dead_letters_are_redriven_apart,
}
TENANT_ROUTES = ("create", "list_", "read", "rename", "suspend", "resume", "delete")
CHECKS: dict[str, dict[str, Check]] = {
    "users": {
        "scim.create": users_are_created_apart,
        "search.users": users_are_listed_apart,
        "search.users_by_post": users_are_searched_apart,
        "search.everything": everything_is_listed_apart,
        "search.everything_by_post": everything_is_searched_apart,
        "scim.read": a_user_is_not_read,
        "scim.replace": a_user_is_not_replaced,
        "scim.patch": a_user_is_not_patched,
        "scim.delete": a_user_is_not_deleted,
        "scim.read_me": people_read_and_change_only_themselves,
        "logins.log_in": people_log_in_apart,
        "logins.change_password": people_read_and_change_only_themselves,
        "sessions.list_": sessions_are_apart,
        "sessions.end": sessions_are_apart,
        "sessions.end_all": sessions_are_apart,
        "internal.lookup": users_are_looked_up_apart,
        "discovery.all_types": schemas_are_discovered_apart,
        "discovery.one_type": schemas_are_discovered_apart,
        "discovery.all_schema_documents": schemas_are_discovered_apart,
        "discovery.one_schema": schemas_are_discovered_apart,
        "schemas.create": schemas_are_registered_apart,
        "schemas.list_": schemas_are_listed_apart,
        "schemas.read": a_schema_is_not_read,
        "schemas.delete": a_schema_is_not_deleted,
        "api_clients.create": clients_are_made_apart,
        "api_clients.list_": clients_are_listed_apart,
        **{f"api_clients.{name}": a_client_is_not_touched for name in CLIENT_ROUTES},
        "scim_tokens.create": scim_tokens_are_made_apart,
        "scim_tokens.list_": scim_tokens_are_listed_apart,
        "scim_tokens.read": a_scim_token_is_not_read,
        "scim_tokens.revoke": a_scim_token_is_not_revoked,
        "token_status.introspect": tokens_are_told_of_and_ended_apart,
        "token_status.revoke": tokens_are_told_of_and_ended_apart,
        "bulk.carry_out": a_bulk_reaches_nothing_foreign,
        **{f"tenants.{name}": tenants_are_the_platforms for name in TENANT_ROUTES},
        "roles.create": roles_are_made_apart,
        "roles.list_": roles_are_listed_apart,
        "roles.read": a_role_is_not_read,
        "roles.change": a_role_is_not_changed,
        "roles.delete": a_role_is_not_deleted,
        "role_grants.list_": who_has_a_role_is_not_listed,
        "role_grants.give": a_role_is_not_given,
        "role_grants.take": a_role_is_not_taken,
        "role_grants.of": roles_of_a_user_are_not_told,
        **EVERYWHERE,
    },
    "groups": {
        "scim.create": groups_take_no_foreign_members,
        "search.groups": groups_are_listed_apart,
        "search.groups_by_post": groups_are_searched_apart,
        "internal_search.groups_among_others": groups_are_searched_apart_by_services,
        "scim.read": a_group_is_not_read,
        "scim.replace": a_group_is_not_replaced,
        "scim.patch": a_group_is_not_patched,
        "scim.delete": a_group_is_not_deleted,
        "membership.members": members_are_paged_apart,
        "membership.check": memberships_are_checked_apart,
        "membership.check_many": memberships_are_checked_apart_in_batches,
        "membership.of": groups_of_a_user_are_listed_apart,
        "bulk.carry_out": group_operations_of_a_bulk_are_apart,
        **EVERYWHERE,
    },
    "audit": {"audit.events": entries_are_listed_apart, "audit.event": an_entry_is_not_read, **EVERYWHERE},
    "metrics": {"metrics.query": counts_are_apart, **EVERYWHERE},
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_tried_by_a_stranger_or_holds_nothing_of_a_tenant(apps: dict[str, Quart], service: str) -> None:
    endpoints = {rule.endpoint for rule in apps[service].url_map.iter_rules()}
    assert not TENANTLESS.keys() & CHECKS[service].keys()
    assert endpoints - TENANTLESS.keys() == CHECKS[service].keys()


@pytest.mark.parametrize(("service", "endpoint"), [(service, name) for service in SERVICES for name in CHECKS[service]])
async def test_a_stranger_sees_and_changes_nothing(world: World, service: str, endpoint: str) -> None:
    await CHECKS[service][endpoint](world, service)
