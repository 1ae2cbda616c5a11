"""People apart: logins, sessions, and what one may do with oneself."""

import httpx

from quartet_testing.client import USERS, Api, Document, patch_document
from quartet_testing.isolation.world import World, missing, newcomer
from quartet_testing.people import PASSWORD


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
        twin = await third.create_user(userName=user["userName"], password=f"another {PASSWORD}")
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
        change = {"old_password": PASSWORD, "new_password": f"another {PASSWORD}"}
        other = (await begun(world, twin))["session_id"]
        assert (await person.post("/users/password", json=change)).status_code == 204
        missing(await person.delete(f"/users/sessions/{other}"))
    assert (await log_in(world, world.tenant, twin["userName"])).status_code == 200
    for one in (user, twin):
        assert (await world.owner.delete(f"{USERS}/{one['id']}")).status_code == 204
