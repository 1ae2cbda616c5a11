"""Roles apart: made, given, taken and listed."""

from quartet_testing.client import Api, unique
from quartet_testing.isolation.world import World, as_service, missing, newcomer
from quartet_testing.services import direct, new_tenant


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


async def roles_of_a_user_are_not_listed(world: World, _: str) -> None:
    assert (await world.owner.get(f"/users/roles/of/{world.user['id']}")).status_code == 200
    missing(await world.stranger.get(f"/users/roles/of/{world.user['id']}"))


async def scopes_of_groups_are_looked_up_apart(world: World, _: str) -> None:
    """Services learn the scopes of a group in the tenant that they name, nobody else does anywhere."""
    role, body = await a_role(world.owner), {"ids": [world.group["id"]]}
    given = await world.owner.post(f"{role}/grants", json={"type": "Group", "id": world.group["id"]})
    assert given.status_code == 201, given.text
    assert (await world.owner.post(direct(world.stack, "/users/lookup/group-scopes"), json=body)).status_code == 403
    async with as_service(world, "groups") as service:
        for tenant, scopes in ((world.tenant, ["audit:read"]), (new_tenant(), [])):
            answer = await service.post(
                direct(world.stack, "/users/lookup/group-scopes"), json=body, headers={"Quartet-Tenant": tenant}
            )
            assert answer.json() == {"scopes": scopes}
        assert (await service.post(direct(world.stack, "/users/lookup/group-scopes"), json=body)).status_code == 400
    assert (await world.owner.delete(role)).status_code == 204
