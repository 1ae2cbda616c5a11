"""Origins apart: another tenant does not list, read or remove them, and they change none of its responses."""

from quartet_testing.client import USERS, unique
from quartet_testing.conditions import eventually
from quartet_testing.isolation.world import World, clean, missing, newcomer

ORIGINS = "/users/origins"


async def an_origin(world: World) -> dict[str, str]:
    """A new origin of the owner's."""
    made = await world.owner.post(ORIGINS, json={"origin": f"https://{unique('app')}.example.com"})
    assert made.status_code == 201, made.text
    found: dict[str, str] = made.json()
    return found


async def origins_are_allowed_apart(world: World, _: str) -> None:
    made = await an_origin(world)
    headers = {"Origin": made["origin"]}

    async def allowed() -> bool:
        return "Access-Control-Allow-Origin" in (await world.owner.get(USERS, headers=headers)).headers

    await eventually(allowed, "the owner's origin is allowed")
    answer = await world.stranger.get(USERS, headers=headers)
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    async with newcomer(world) as third:  # what one tenant has is not taken for another
        assert (await third.post(ORIGINS, json={"origin": made["origin"]})).status_code == 201


async def origins_are_listed_apart(world: World, _: str) -> None:
    made = {(await an_origin(world))["id"] for _number in range(2)}
    assert made <= {one["id"] for one in (await world.owner.get(ORIGINS)).json()["origins"]}
    page = (await world.owner.get(ORIGINS, params={"count": 1})).json()
    assert page["next"]
    answer = await world.stranger.get(ORIGINS)
    assert (answer.status_code, answer.json()["origins"]) == (200, [])
    clean(world, answer.text)
    assert (await world.stranger.get(ORIGINS, params={"cursor": page["next"]})).status_code == 400


async def an_origin_is_not_read(world: World, _: str) -> None:
    missing(await world.stranger.get(f"{ORIGINS}/{(await an_origin(world))['id']}"))


async def an_origin_is_not_removed(world: World, _: str) -> None:
    path = f"{ORIGINS}/{(await an_origin(world))['id']}"
    missing(await world.stranger.delete(path))
    assert (await world.owner.get(path)).status_code == 200
