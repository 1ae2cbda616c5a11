"""Backbone: how fast waiting events pass relay, RabbitMQ and all four consumers, what each costs, and who waits.

Run `.venv/bin/python bench/backbone.py [EVENTS] [--before CHECKOUT]`. With --before, the checkout of an earlier commit
(whose .venv exists) is measured first, by the same script. It starts a stack, holds the workers, and writes mixed
events by the API: of each four, two users are created, one is changed, and one becomes a member of a group. Then the
workers go on until audit and metrics hold every event. Printed: events per second, and microseconds of CPU per event of
each process, PostgreSQL's own included. Meanwhile another tenant creates a user each half second: how late its audit
entries are, by the entries' own times.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from bulk import WORKERS, a_user, processor_seconds

from quartet_cli.layout import CHECKOUT
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import Api, bulk_document
from quartet_testing.faults import paused, pids

PER_BULK = 1_000
GROUPS = 5
SMALL, LARGE = "small", "large"
TIMEOUT = 600.0
OPEN = {"QUARTET_LIMIT_CLIENT": "off", "QUARTET_LIMIT_ADDRESS": "off"}


async def send(http: httpx.AsyncClient, operations: list[dict[str, Any]]) -> list[str]:
    """One Bulk; the ids of the resources. Raises AssertionError where an operation fails."""
    answer = await http.post("/scim/v2/Bulk", content=orjson.dumps(bulk_document(*operations)))
    found = answer.raise_for_status().json()["Operations"]
    assert all(one["status"] in ("200", "201", "204") for one in found), answer.text[:500]
    return [one["location"].rpartition("/")[2] for one in found]


async def write(url: str, token: str, events: int) -> int:
    """Write about `events` mixed events; returns how many users were created."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
        ids: list[str] = []
        for _ in range(events // 2 // PER_BULK):
            ids += await send(
                http,
                [{"method": "POST", "path": "/Users", "bulkId": str(n), "data": a_user()} for n in range(PER_BULK)],
            )
        changed, joining = ids[: len(ids) // 2], ids[len(ids) // 2 :]
        for first in range(0, len(changed), PER_BULK):
            some = changed[first : first + PER_BULK]
            await send(http, [patch(f"/Users/{one}", "replace", "title", "changed") for one in some])
        for number in range(GROUPS):
            sent = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": f"group {number}"}
            group = (await http.post("/scim/v2/Groups", json=sent)).raise_for_status().json()["id"]
            members = [{"value": one} for one in joining[number::GROUPS]]
            body = patch(f"/Groups/{group}", "add", "members", members)["data"]
            (await http.patch(f"/scim/v2/Groups/{group}", content=orjson.dumps(body))).raise_for_status()
    return len(ids)


def patch(path: str, operation: str, attribute: str, value: Any) -> dict[str, Any]:
    """A PATCH as an operation of a Bulk."""
    schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
    body = {"schemas": [schema], "Operations": [{"op": operation, "path": attribute, "value": value}]}
    return {"method": "PATCH", "path": path, "data": body}


async def counted(api: Api) -> int:
    """How many events the metrics hold of the tenant."""
    answer = await api.get("/metrics/query", params={"metric": "events", "step": "day", "by": "type"})
    return int(answer.raise_for_status().json()["total"])


async def depth(stack: Stack, token: str) -> int:
    """How many events wait in the outboxes and messages in the main queues of all services."""
    total = 0
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=30) as http:
        headers = {"Authorization": f"Bearer {token}"}
        for service in ("users", "groups", "audit", "metrics"):
            total += (await http.get(f"/{service}/rabbitmq/outbox", headers=headers)).json()["depth"]
            queues = (await http.get(f"/{service}/rabbitmq/queues", headers=headers)).json()["queues"]
            total += sum(queue["messages"] for queue in queues if queue["name"] == f"quartet.{service}")
    return total


async def trickle(api: Api, done: asyncio.Event) -> None:
    """Create a user each half second."""
    while not done.is_set():
        await api.create_user()
        await asyncio.sleep(0.5)


async def delays(api: Api) -> list[float]:
    """Seconds from each event of the tenant to its audit entry, sorted."""
    found: list[float] = []
    cursor: str | None = None
    while True:
        more: dict[str, str] = {"cursor": cursor} if cursor else {}
        page = (await api.get("/audit/events", params={"action": "users.user.created", "limit": 100, **more})).json()
        for entry in page["events"]:
            recorded, time_ = (datetime.fromisoformat(entry[name]) for name in ("recorded_time", "time"))
            found.append((recorded - time_).total_seconds())
        cursor = page["next"]
        if not cursor:
            return sorted(found)


async def measure(stack: Stack, events: int) -> None:
    """Write, let the workers go on, and print what was seen."""
    tokens = [await asyncio.to_thread(stack.token, tenant) for tenant in (LARGE, SMALL)]
    async with Api(stack.url, tokens[0]) as large, Api(stack.url, tokens[1]) as small:
        await asyncio.gather(large.create_user(), small.create_user())
        async with AsyncExitStack() as held:
            for worker in WORKERS:
                await held.enter_async_context(paused(stack, worker))
            before_events = await counted(large)
            await write(stack.url, tokens[0], events)
            waiting = await depth(stack, tokens[0])
        before, begun, done = processor_seconds(stack), time.perf_counter(), asyncio.Event()
        trickling = asyncio.ensure_future(trickle(small, done))
        while await depth(stack, tokens[0]) > 0:  # the queues are in another process
            await asyncio.sleep(0.25)
            if time.perf_counter() - begun > TIMEOUT:
                raise SystemExit("the events did not arrive")
        number = waiting
        while await counted(large) - before_events < waiting:  # noqa: ASYNC110  # the same
            await asyncio.sleep(0.05)
        took = time.perf_counter() - begun
        done.set()
        await trickling
        spent = {name: total - before[name] for name, total in processor_seconds(stack).items()}
        report(number, took, spent, await delays(small), stack)


def report(number: int, took: float, spent: dict[str, float], late: list[float], stack: Stack) -> None:
    """Print the figures."""
    costs = {name: seconds / number * 1e6 for name, seconds in spent.items()}
    path = [name for name in costs if name.endswith("-worker") or name in ("postgres", "rabbitmq")]
    each = ", ".join(f"{name} {costs[name]:.0f}" for name in sorted(path, key=lambda one: -costs[one]))
    print(f"{number} events in {took:.1f} s: {number / took:.0f} events/s")
    print(f"CPU per event: {sum(costs[name] for name in path):.0f} us ({each})")
    middle, last = late[len(late) // 2], late[-1]
    print(f"entries of the small tenant: {len(late)}, late by {middle:.2f} s (median), {last:.2f} s (most)")
    memory = {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in pids(stack).items() if name in WORKERS}
    print("RSS: " + ", ".join(f"{name} {size:.0f} MB" for name, size in memory.items()), flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Events per second through relay, RabbitMQ and all consumers.")
    parser.add_argument("events", type=int, nargs="?", default=40_000)
    parser.add_argument("--before", type=Path, help="the checkout of an earlier commit to compare with")
    arguments = parser.parse_args()
    if arguments.before is not None:
        python = arguments.before.resolve() / ".venv/bin/python"
        print("before:", flush=True)
        subprocess.run([str(python), __file__, str(arguments.events)], check=True)
        print("now:", flush=True)
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=OPEN)
        try:
            stack.up()
            asyncio.run(measure(stack, arguments.events))
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    print(f"checkout {CHECKOUT.name}, Python {sys.version.split()[0]}", flush=True)
    main()
