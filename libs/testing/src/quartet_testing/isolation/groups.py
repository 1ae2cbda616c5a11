"""Groups apart: their members, and who is asked for."""

from uuid import uuid4

import httpx

from quartet_testing.client import GROUPS, group_document, patch_document
from quartet_testing.isolation.world import World, as_service, clean, missing
from quartet_testing.services import direct, new_tenant


async def group_operations_of_a_bulk_are_apart(world: World, _: str) -> None:
    change = {"method": "PUT", "id": world.group["id"], "data": group_document()}
    steal = {"method": "POST", "id": str(uuid4()), "data": group_document([world.user["id"]])}
    body = {"operations": [change, {"method": "DELETE", "id": world.group["id"]}, steal]}
    assert (await world.owner.post(direct(world.stack, "/groups/bulk"), json=body)).status_code == 403
    secret = (world.stack.home.secrets / "users/quartet_client_secret").read_text().strip()
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False) as client:
        form = {"grant_type": "client_credentials"}
        token = (await client.post("/oauth2/token", data=form, auth=("quartet-users", secret))).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Quartet-Tenant": new_tenant()}
        answer = await client.post(direct(world.stack, "/groups/bulk"), json=body, headers=headers)
        assert [one["status"] for one in answer.json()["results"]] == [404, 404, 400]
        nameless = await client.post(
            direct(world.stack, "/groups/bulk"), json=body, headers={"Authorization": f"Bearer {token}"}
        )
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


async def groups_are_marked_apart(world: World, _: str) -> None:
    """Services mark groups of the tenant that they name, nobody else marks any."""
    body = {"ids": [world.group["id"]]}
    assert (await world.owner.post(direct(world.stack, "/groups/privileged"), json=body)).status_code == 403
    async with as_service(world, "users") as service:
        for tenant, marked in ((world.tenant, [world.group["id"]]), (new_tenant(), [])):
            answer = await service.post(
                direct(world.stack, "/groups/privileged"), json=body, headers={"Quartet-Tenant": tenant}
            )
            assert [one["id"] for one in answer.json()["groups"]] == marked
        assert (await service.post(direct(world.stack, "/groups/privileged"), json=body)).status_code == 400
