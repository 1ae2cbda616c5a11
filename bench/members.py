"""What members cost: one more or one less in a small and in a large group, filling a large one, checks through it.

Run `.venv/bin/python bench/members.py [MEMBERS]`: it makes a stack of its own and removes it. Everything goes through
the proxy with a token, and the relay, the audit log and the metrics take the events meanwhile; only the users are put
into the groups service's table beforehand, since creating them is not what is measured. The large group lies 5 levels
deep. Checks of anybody meet users that were not asked for lately; those of 20 users are answered from the cache.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from uuid import UUID

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.core.identifiers import new_id
from quartet_testing.client import GROUPS, Api, Document, patch_document
from quartet_testing.faults import database
from quartet_testing.limits import WIDE
from quartet_testing.plain import PlainClient

TENANT = "bench"
SMALL = 100
STEP = 1000
LEVELS = 5
ROUNDS = 200
CLIENTS = 8
CHECKS = 4000
choose = random.Random(7)  # noqa: S311  # nosec B311  # the same questions each time


async def seed(stack: Stack, number: int) -> list[UUID]:
    """Have the groups service know so many users."""
    ids = [new_id() for _ in range(number)]
    rows = [(TENANT, one, f"User {place}", 1, False) for place, one in enumerate(ids)]
    async with database(stack, "groups") as connection:
        columns = ("tenant_id", "id", "display", "version", "deleted")
        await connection.copy_records_to_table("known_users", records=rows, columns=columns)
    return ids


def members(ids: Sequence[object]) -> list[Document]:
    """Members by their ids."""
    return [{"value": str(one)} for one in ids]


async def patch(plain: PlainClient, group: str, op: str, ids: Sequence[UUID]) -> float:
    """Seconds that one PATCH of members took."""
    body = json.dumps(patch_document({"op": op, "path": "members", "value": members(ids)})).encode()
    begun = time.perf_counter()
    status, answer = await plain.send("PATCH", f"{GROUPS}/{group}", body)
    took = time.perf_counter() - begun
    assert status == 200, answer
    return took


async def fill(plain: PlainClient, group: str, ids: Sequence[UUID]) -> float:
    """Seconds to add everybody, 1,000 at a time."""
    return sum([await patch(plain, group, "add", ids[start : start + STEP]) for start in range(0, len(ids), STEP)])


async def one_more_one_less(plain: PlainClient, groups: dict[str, str], guest: UUID) -> None:
    """Add and remove one member, the groups in turn so that both meet the same load."""
    took: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for name, group in groups.items():
            for op in ("add", "remove"):
                took.setdefault((op, name), []).append(await patch(plain, group, op, [guest]))
    for (op, name), seconds in took.items():
        print(row(f"{op} one member, group of {name}", seconds))


async def checks(stack: Stack, token: str, ask: Callable[[PlainClient], Awaitable[None]], number: int) -> list[float]:
    """Seconds of each question, asked by 8 clients at once."""
    took: list[float] = []

    async def client() -> None:
        async with PlainClient(stack.url, token) as plain:
            for _ in range(number // CLIENTS):
                begun = time.perf_counter()
                await ask(plain)
                took.append(time.perf_counter() - begun)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return took


async def check_one(plain: PlainClient, users: Sequence[UUID], group: str) -> None:
    """Ask for one user, whom nobody has asked for as a rule."""
    status, body = await plain.get(f"/groups/check?user={choose.choice(users)}&group={group}")
    assert status == 200
    assert len(json.loads(body)["path"]) == LEVELS


async def check_batch(plain: PlainClient, users: Sequence[UUID], group: str) -> None:
    """Ask for 1,000 users at once."""
    some = choose.sample(users, STEP)
    body = json.dumps({"checks": [{"user": str(one), "group": group} for one in some]}).encode()
    status, answer = await plain.post("/groups/check", body)
    assert (status, answer.count(b'"member":true')) == (200, STEP)


def row(name: str, seconds: Sequence[float]) -> str:
    """One line of the table, in milliseconds."""
    ordered = sorted(seconds)
    points = [ordered[min(len(ordered) - 1, round(len(ordered) * share))] for share in (0.5, 0.9, 0.99)]
    return f"{name:<46}{len(ordered):>6}" + "".join(f"{value * 1000:9.1f}" for value in (*points, ordered[-1]))


async def measure(stack: Stack, number: int) -> None:
    """Print the table."""
    token = await asyncio.to_thread(stack.token, TENANT)
    guest, *users = await seed(stack, number + 1)
    async with Api(stack.url, token) as api, PlainClient(stack.url, token) as plain:
        small = (await api.create_group([str(one) for one in users[:SMALL]]))["id"]
        large = (await api.create_group())["id"]
        print(f"fill {number} members by PATCHes of {STEP}: {await fill(plain, large, users):.1f} s")
        print(f"{'milliseconds':<46}{'n':>6}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}")
        await one_more_one_less(plain, {f"{SMALL}": small, f"{number}": large}, guest)
        top = large
        for _ in range(LEVELS - 1):
            top = (await api.create_group([top]))["id"]
        await checks(stack, token, lambda plain: check_one(plain, users, top), CHECKS // 8)  # connections are made
        for name, some in (("anybody", users), ("20 users again and again", users[:20])):
            took = await checks(stack, token, lambda plain, some=some: check_one(plain, some, top), CHECKS)  # type: ignore[misc]  # bound now
            print(row(f"check, 8 clients, {name}", took))
        print(row("check of 1,000 at once, 1 client", await batches(stack, token, users, top)))
        pages = [await timed(api, f"/groups/{group}/members") for group in (small, large) for _ in range(50)]
        print(row(f"first page of members, group of {SMALL}", pages[:50]))
        print(row(f"first page of members, group of {number}", pages[50:]))
        print(row("the whole large group", [await timed(api, f"{GROUPS}/{large}") for _ in range(3)]))


async def batches(stack: Stack, token: str, users: Sequence[UUID], group: str) -> list[float]:
    """Seconds of batches, one after the other."""
    took = []
    async with PlainClient(stack.url, token) as plain:
        for _ in range(50):
            begun = time.perf_counter()
            await check_batch(plain, users, group)
            took.append(time.perf_counter() - begun)
    return took


async def timed(api: Api, path: str) -> float:
    """Seconds of one GET."""
    begun = time.perf_counter()
    (await api.get(path)).raise_for_status()
    return time.perf_counter() - begun


def main() -> None:
    """Start a stack and measure."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.up()
            asyncio.run(measure(stack, number))
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    main()
