"""Backbone: how fast waiting events pass relay, RabbitMQ and all four consumers, what each costs, and who waits.

Run `.venv/bin/python bench/backbone.py [EVENTS] [--before CHECKOUT]`. With --before, the checkout of an earlier commit
(whose .venv exists) is measured first, by the same script. It starts a stack, holds the workers, and writes mixed
events by the API: of each four, two users are created, one is changed, and one becomes a member of a group. Then the
workers go on until every service has taken in its events. Printed: events per second, and microseconds of CPU per
event of each process, PostgreSQL's own included, without that of the connections that look what has arrived. Meanwhile
another tenant creates a user each half second: how late its audit entries are, by the entries' own times.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import psutil
from bulk import WORKERS, a_user, processor_seconds

from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import Api, bulk_document
from quartet_testing.faults import database, paused, pids

if TYPE_CHECKING:  # an earlier checkout, which the same script measures, has no such module
    from quartet_common.data.connections import SingleConnection

PER_BULK = 1_000
GROUPS = 5
SMALL, LARGE = "small", "large"
TIMEOUT = 300.0
QUIET = 2.0
"""Seconds without an arrival after which all has arrived."""
COUNT = "SELECT count(*) FROM {} WHERE tenant_id = $1"
TAKEN_IN = {service: "entries" if service == "audit" else "inbox" for service in SERVICES}
OUTBOXES = dict.fromkeys(SERVICES, "outbox")
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


@dataclass(frozen=True)
class Watch:
    """Looks into the databases by connections of its own, whose cost is no part of the measurement."""

    stack: Stack
    connections: "dict[str, SingleConnection]"

    async def count(self, tables: Mapping[str, str]) -> dict[str, int]:
        """How many rows of the large tenant these tables, by service, have."""
        return {
            service: await self.connections[service].fetchval(COUNT.format(table), LARGE)
            for service, table in tables.items()
        }

    async def arrived(self) -> dict[str, int]:
        """How many events of the large tenant each service has taken in."""
        return await self.count(TAKEN_IN)

    def spent(self) -> dict[str, float]:
        """Processor time of each program."""
        spent = processor_seconds(self.stack)
        for connection in self.connections.values():
            times = psutil.Process(connection.get_server_pid()).cpu_times()
            spent["postgres"] -= times.user + times.system
        return spent


@asynccontextmanager
async def watching(stack: Stack) -> AsyncIterator[Watch]:
    """Connections to the database of each service, for as long as this."""
    async with AsyncExitStack() as opened:
        connections = {one: await opened.enter_async_context(database(stack, one)) for one in SERVICES}
        yield Watch(stack, connections)


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


async def settled(watch: Watch) -> tuple[dict[str, int], float, dict[str, float]]:
    """Wait until nothing has arrived for QUIET seconds; what had arrived, when the last of it did, and the processor
    time of each program at that moment.
    """
    last, changed, spent = await watch.arrived(), time.perf_counter(), watch.spent()
    deadline = changed + TIMEOUT
    while time.perf_counter() < changed + QUIET or any((await watch.count(OUTBOXES)).values()):
        if time.perf_counter() > deadline:
            raise SystemExit(f"not all events arrived within {TIMEOUT:.0f} s: {last}")
        now = await watch.arrived()
        if now != last:
            last, changed, spent = now, time.perf_counter(), watch.spent()
        await asyncio.sleep(0.1)
    return last, changed, spent


async def measure(stack: Stack, events: int) -> None:
    """Write, let the workers go on, and print what was seen."""
    tokens = [await asyncio.to_thread(stack.token, tenant) for tenant in (LARGE, SMALL)]
    async with Api(stack.url, tokens[0]) as large, Api(stack.url, tokens[1]) as small, watching(stack) as watch:
        await asyncio.gather(large.create_user(), small.create_user())
        before, _, _ = await settled(watch)
        async with AsyncExitStack() as held:
            for worker in WORKERS:
                await held.enter_async_context(paused(stack, worker))
            await write(stack.url, tokens[0], events)
            begun_with, begun, done = watch.spent(), time.perf_counter(), asyncio.Event()
        trickling = asyncio.ensure_future(trickle(small, done))
        after, ended, spent = await settled(watch)
        done.set()
        await trickling
        assert after["audit"] == after["metrics"], after
        cost = {name: total - begun_with[name] for name, total in spent.items()}
        report(after["audit"] - before["audit"], ended - begun, cost, await delays(small), stack)


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
