"""Machines apart: SCIM tokens and API clients, introspection of tokens, and who ends them."""

import httpx

from quartet_testing.client import USERS
from quartet_testing.isolation.world import CLIENTS, SCIM_TOKENS, World, clean, missing, newcomer


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
