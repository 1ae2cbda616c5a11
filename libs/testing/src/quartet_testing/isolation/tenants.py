"""Tenants apart: they are the platform's."""

import asyncio

import pytest

from quartet_cli.errors import QuartetError
from quartet_testing.client import Api
from quartet_testing.isolation.world import OF_A_TENANT, World
from quartet_testing.services import new_tenant


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
    with pytest.raises(QuartetError, match="Scope platform:admin is not available"):
        await asyncio.to_thread(world.stack.token, tenant, "platform:admin")
    token = await asyncio.to_thread(world.stack.token, "quartet", "platform:admin")
    async with Api(world.stack.url, token) as platform:
        found = (await platform.get(path)).json()
        assert (found["status"], found["display_name"]) == ("active", "")
        cursor = (await platform.get("/users/tenants", params={"count": 1, "status": "active"})).json()["next"]
        assert (await platform.get("/users/tenants", params={"cursor": cursor})).status_code == 400
