"""Jobs apart: another tenant does not list, read or cancel them, and they read and change its own tenant only."""

from typing import Any

from quartet_testing.client import USERS, Api
from quartet_testing.conditions import eventually
from quartet_testing.isolation.world import World, clean, missing, newcomer

ENDED = {"completed", "failed", "cancelled"}


async def a_job(api: Api, service: str, query: str = "kind=export", file: bytes | None = None) -> dict[str, Any]:
    """A job of the client's tenant that has ended."""
    made = await api.post(f"/{service}/data/jobs?{query}", content=file)
    assert made.status_code == 202, made.text
    path = f"/{service}/data/jobs/{made.json()['id']}"

    async def has_ended() -> dict[str, Any] | None:
        job: dict[str, Any] = (await api.get(path)).json()
        return job if job["state"] in ENDED else None

    return await eventually(has_ended, "the job ends")


async def jobs_are_made_apart(world: World, service: str) -> None:
    job = await a_job(world.owner, service)
    own = await world.owner.get(f"/{service}/data/jobs/{job['id']}/result")
    assert (world.user["id"] if service == "users" else world.group["id"]) in own.text
    other = await a_job(world.stranger, service)
    clean(world, (await world.stranger.get(f"/{service}/data/jobs/{other['id']}/result")).text)
    if service == "users":
        async with newcomer(world) as third:  # the same name is another user there
            file = b'{"userName": "%b", "title": "Stranger"}\n' % world.user["userName"].encode()
            imported = await a_job(third, service, "kind=import", file)
            assert imported["state"] == "completed", imported
        assert "title" not in (await world.owner.get(f"{USERS}/{world.user['id']}")).json()
    else:
        async with newcomer(world) as third:  # neither the group nor the user of the other tenant is found
            file = b'{"displayName": "Own", "members": ["%b", "%b"]}\n' % (
                world.group["id"].encode(),
                world.user["userName"].encode(),
            )
            imported = await a_job(third, service, "kind=import", file)
            assert (imported["state"], imported["done"], imported["failed"]) == ("completed", 1, 2), imported


async def jobs_are_listed_apart(world: World, service: str) -> None:
    made = [(await a_job(world.owner, service))["id"] for _ in range(2)]
    path = f"/{service}/data/jobs"
    assert made[::-1] == [one["id"] for one in (await world.owner.get(path, params={"count": 2})).json()["jobs"]]
    page = (await world.owner.get(path, params={"count": 1})).json()
    async with newcomer(world) as third:
        assert (await third.get(path)).json() == {"jobs": [], "next": None}
        assert (await third.get(path, params={"cursor": page["next"]})).status_code == 400


async def a_job_is_not_touched(world: World, service: str) -> None:
    job = await a_job(world.owner, service)
    path = f"/{service}/data/jobs/{job['id']}"
    for part in ("", "/report", "/result"):
        missing(await world.stranger.get(path + part))
    missing(await world.stranger.post(f"{path}/cancel"))
    assert (await world.owner.get(path)).json()["state"] == "completed"
