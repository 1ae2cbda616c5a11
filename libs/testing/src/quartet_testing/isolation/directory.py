"""Users apart: made, read, changed, searched and looked up; their schemas and Bulk."""

import json

import httpx

from quartet_testing.client import GROUPS, USERS, Document, bulk_document, group_document, patch_document, user_document
from quartet_testing.isolation.world import SCHEMA, SCHEMA_DOCUMENT, SEARCH, World, clean, missing, newcomer
from quartet_testing.services import direct, new_tenant


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
    assert (await world.stranger.post(direct(world.stack, "/groups/search"), json=body)).status_code == 403
    secret = (world.stack.home.secrets / "users/quartet_client_secret").read_text().strip()
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = (await client.post("/oauth2/token", data=form, auth=("quartet-users", secret))).json()["access_token"]
        for tenant, found in ((world.tenant, [world.group["id"]]), (new_tenant(), [])):
            headers = {"Authorization": f"Bearer {token}", "Quartet-Tenant": tenant}
            answer = await client.post(direct(world.stack, "/groups/search"), json=body, headers=headers)
            assert [group["id"] for group in answer.json()["Resources"]] == found
        nameless = await client.post(
            direct(world.stack, "/groups/search"), json=body, headers={"Authorization": f"Bearer {token}"}
        )
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
    assert (await world.stranger.post(direct(world.stack, "/users/lookup"), json=body)).status_code == 403
    secret = (world.stack.home.secrets / "groups/quartet_client_secret").read_text().strip()
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = (await client.post("/oauth2/token", data=form, auth=("quartet-groups", secret))).json()["access_token"]
        for tenant, found in ((world.tenant, [world.user["id"]]), (new_tenant(), [])):
            headers = {"Authorization": f"Bearer {token}", "Quartet-Tenant": tenant}
            answer = await client.post(direct(world.stack, "/users/lookup"), json=body, headers=headers)
            assert [user["id"] for user in answer.json()["users"]] == found
        nameless = await client.post(
            direct(world.stack, "/users/lookup"), json=body, headers={"Authorization": f"Bearer {token}"}
        )
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
