"""Bulk: how fast 50,000 users are created by Bulks of 1,000 through the proxy, with everything on.

Run `.venv/bin/python bench/bulk.py [USERS]` (makes a stack of its own and removes it). Each is a 3 kB enterprise user
without password. The messages are made before the clock starts. Measured twice: with the workers running, which
relay, audit, count and learn every user while the writing goes on, and with the workers of all services held, so that
only the way of the write itself is timed; then how long they take for what has waited.
"""

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
from payloads import enterprise_user

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import Api, bulk_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused, pids
from quartet_testing.limits import WIDE

PER_BULK = 1_000
CREATED = "users.user.created"
WORKERS = ("users-worker", "groups-worker", "audit-worker", "metrics-worker")
numbers = count()


def a_user() -> dict[str, Any]:
    """The 3 kB user of the other measurements, with names of its own and without password."""
    number = next(numbers)
    user: dict[str, Any] = orjson.loads(enterprise_user())
    del user["password"]
    return user | {"userName": f"bjensen{number}@example.com", "externalId": f"00u{number:016}"}


def a_bulk() -> bytes:
    """A message that creates 1,000 users."""
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": f"{number}", "data": a_user()} for number in range(PER_BULK)
    ]
    return orjson.dumps(bulk_document(*operations))


async def send_all(url: str, token: str, bulks: list[bytes], clients: int) -> tuple[float, list[float]]:
    """Seconds that all messages took, by so many clients, and each one's own."""
    waiting = list(bulks)
    took: list[float] = []

    async def one_client() -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
            while waiting:
                body = waiting.pop()
                begun = time.perf_counter()
                answer = await http.post("/scim/v2/Bulk", content=body)
                took.append(time.perf_counter() - begun)
                made = answer.content.count(b'"status":"201"')
                assert (answer.status_code, made) == (200, PER_BULK), answer.text[:500]

    begun = time.perf_counter()
    await asyncio.gather(*(one_client() for _ in range(clients)))
    return time.perf_counter() - begun, took


async def caught_up(api: Api, number: int) -> float:
    """Seconds until the metrics have counted all."""
    begun = time.perf_counter()

    async def probe() -> bool:
        return await api.count(CREATED) >= number

    await eventually(probe, "all users in the metrics", timeout=300)
    return time.perf_counter() - begun


def processor_seconds(stack: Stack) -> dict[str, float]:
    """Processor time that each program of the stack has taken so far, its children included."""
    spent: dict[str, float] = defaultdict(float)
    for name, pid in pids(stack).items():
        main = psutil.Process(pid)
        for process in (main, *main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent[name] += times.user + times.system + times.children_user + times.children_system
    return spent


def row(name: str, users: int, seconds: float, took: list[float]) -> None:
    """Print one line."""
    took.sort()
    middle, last = took[len(took) // 2], took[-1]
    print(f"{name:<40}{users:>8}{seconds:>8.1f}{users / seconds:>10.0f}{middle * 1000:>8.0f}{last * 1000:>8.0f}")


async def measure(stack: Stack, users: int, clients: int) -> None:
    """Both measurements, each in a tenant of its own."""
    bulks = [a_bulk() for _ in range(users // PER_BULK)]
    number = len(bulks) * PER_BULK
    print(f"{len(bulks)} messages of {len(bulks[0]) / 1e6:.1f} MB, {clients} at a time")
    print(f"{'':<40}{'users':>8}{'s':>8}{'users/s':>10}{'p50 ms':>8}{'max ms':>8}")
    for name, held in (("workers running", False), ("workers held", True)):
        token = await asyncio.to_thread(stack.token, name.split()[1])
        async with Api(stack.url, token) as api:
            await api.create_user()  # the connection and the first token check are no part of it
            before = processor_seconds(stack)
            async with AsyncExitStack() as holding:
                for worker in WORKERS if held else ():
                    await holding.enter_async_context(paused(stack, worker))
                seconds, took = await send_all(stack.url, token, bulks, clients)
            spent = {one: total - before[one] for one, total in processor_seconds(stack).items()}
            row(name, number, seconds, took)
            most = sorted(spent, key=lambda one: -spent[one])[:8]
            each = [f"{one} {spent[one] / number * 1e6:.0f}" for one in most]
            print(f"  processor time, us per user: {', '.join(each)}")
            late = await caught_up(api, number + 1)
            print(f"{'  all consumers done after another':<48}{late:>8.1f}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Users created per second by Bulks of 1,000.")
    parser.add_argument("users", type=int, nargs="?", default=50_000)
    parser.add_argument("--clients", type=int, default=2, help="messages under way at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.up()
            asyncio.run(measure(stack, arguments.users, arguments.clients))
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    main()
