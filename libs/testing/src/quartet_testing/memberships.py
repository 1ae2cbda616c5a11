"""Memberships under disturbance: writers who each own an edge and ask at once whether their write is seen."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from quartet_testing.client import GROUPS, Api, Document, patch_document

WRITERS = 4
TURNS = 12


async def disturbed_writers(api: Api, turns: int = TURNS) -> None:
    """Each writer moves a user or a nested group in and out of one group, and checks after each answer.

    What it must see depends on its own edge only, while the others change the same group. Each question is asked three
    times, so that the last can come from the cache. Raises AssertionError for an answer that is not right.
    """
    users = [await api.create_user() for _ in range(WRITERS)]
    inner = [await api.create_group([user["id"]]) for user in users]
    outer = await api.create_group()
    await asyncio.gather(
        *(_write(api, outer, users[place], (users, inner)[place % 2][place], turns) for place in range(WRITERS))
    )


async def _write(api: Api, group: Document, user: Document, edge: Document, turns: int) -> None:
    for turn in range(turns):
        op = "remove" if turn % 2 else "add"
        value = [{"value": edge["id"]}]
        answer = await api.patch(
            f"{GROUPS}/{group['id']}", json=patch_document({"op": op, "path": "members", "value": value})
        )
        assert answer.status_code == 200, answer.text
        await _right(api, user, group, expected=op == "add")


async def _right(api: Api, user: Document, group: Document, *, expected: bool) -> None:
    question = {"user": user["id"], "group": group["id"]}
    for _ in range(3):
        single = (await api.get("/groups/check", params=question)).json()
        [batch] = (await api.post("/groups/check", json={"checks": [question]})).json()["results"]
        of = (await api.get(f"/groups/of/{user['id']}")).json()["groups"]
        seen = [single["member"], batch["member"], group["id"] in {one["value"] for one in of}]
        assert seen == [expected] * 3


@asynccontextmanager
async def writing(apis: Sequence[Api], turns: int = TURNS) -> AsyncIterator[None]:
    """Disturbed writers of several tenants run while the block does; they must all be right in the end."""
    running = asyncio.gather(*(disturbed_writers(api, turns) for api in apis))
    try:
        yield
    finally:
        await running
