"""Imports: how long 100,000 users, 2,000 groups and 500,000 memberships take in and out, through the proxy.

Run `.venv/bin/python bench/imports.py [--users N] [--groups N] [--memberships N]` (makes a stack of its own and removes
it). One NDJSON file has all of it: it is imported by users, then by groups, with all workers running, and exported. The
memory is the RSS, the largest of samples each 0.1 s.
"""

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.faults import pids
from quartet_testing.limits import WIDE

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MEASURED = ("users-api", "users-worker", "groups-api", "groups-worker")


def a_user(number: int) -> dict[str, Any]:
    """A user of about 600 bytes, as exports of directories have them."""
    name = f"person{number}@example.com"
    return {
        "schemas": [USER, ENTERPRISE],
        "userName": name,
        "externalId": f"e{number:08}",
        "name": {"givenName": f"Given {number}", "familyName": f"Family {number}"},
        "displayName": f"Given {number} Family {number}",
        "emails": [{"value": name, "type": "work", "primary": True}],
        "phoneNumbers": [{"value": f"tel:+1-201-555-{number % 10000:04}", "type": "work"}],
        "active": number % 50 > 0,
        ENTERPRISE: {"employeeNumber": str(number), "department": f"Department {number % 200}"},
    }


def records(users: int, groups: int, memberships: int) -> Iterator[dict[str, Any]]:
    """Users, then groups, each with its part of the memberships."""
    yield from (a_user(number) for number in range(users))
    each = memberships // max(groups, 1)
    for number in range(groups):
        members = [{"value": f"person{(number * 37 + one) % users}@example.com"} for one in range(each)]
        members = [{"userName": one["value"]} for one in members]
        yield {"schemas": [GROUP], "displayName": f"Group {number}", "externalId": f"g{number}", "members": members}


def processor_seconds(stack: Stack) -> dict[str, float]:
    """Processor time that each process of the stack has taken so far, with its children."""
    spent: dict[str, float] = {}
    for name, pid in pids(stack).items():
        main, spent[name] = psutil.Process(pid), 0.0
        for process in (main, *main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent[name] += times.user + times.system + times.children_user + times.children_system
    return spent


class Memory:
    """Samples the memory of the processes of a stack, in a thread."""

    def __init__(self, stack: Stack) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids(stack).items() if name in MEASURED}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.most: dict[str, int] = dict.fromkeys(self._processes, 0)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stopping.wait(0.1):
            for name, process in self._processes.items():
                self.most[name] = max(self.most[name], process.memory_info().rss)


async def run_job(client: httpx.AsyncClient, service: str, query: str, file: Path | None = None) -> dict[str, Any]:
    """A job of the service, once it has ended, with the seconds that the client waited."""
    begun = time.perf_counter()
    made = await client.post(f"/{service}/data/jobs?{query}", content=None if file is None else pieces(file))
    assert made.status_code == 202, made.text
    job: dict[str, Any] = made.json()
    while job["ended_at"] is None:
        await asyncio.sleep(0.2)
        job = (await client.get(f"/{service}/data/jobs/{job['id']}")).json()
    assert job["state"] == "completed", job
    return {**job, "seconds": time.perf_counter() - begun}


async def pieces(file: Path) -> Any:
    with file.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, 256 * 1024):
            yield piece


async def measure(stack: Stack, file: Path, services: list[str]) -> None:
    """Import the file, then export all."""
    token = await asyncio.to_thread(stack.token, "imports")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=120, trust_env=False) as client:
        with Memory(stack) as memory:
            for query in ("kind=import&format=ndjson", "kind=export&format=ndjson"):
                for service in services:
                    sent = file if "import" in query else None
                    before = processor_seconds(stack)
                    job = await run_job(client, service, query, sent)
                    spent = {name: total - before[name] for name, total in processor_seconds(stack).items()}
                    counts = ", ".join(f"{name} {job[name]}" for name in ("done", "failed", "skipped"))
                    print(f"{service:<8}{query.partition('&')[0]:<14}{job['seconds']:>7.1f} s  {counts}", flush=True)
                    busiest = sorted(spent, key=lambda name: -spent[name])[:6]
                    print("  processor time, s: " + ", ".join(f"{name} {spent[name]:.1f}" for name in busiest))
                    if job["failed"]:
                        print((await client.get(f"/{service}/data/jobs/{job['id']}/report")).text[:500])
        for name, most in memory.most.items():
            print(f"{name:<16}{most / 2**20:>7.0f} MiB at most")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Seconds to import and export a directory.")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=2_000)
    parser.add_argument("--memberships", type=int, default=500_000)
    parser.add_argument("--services", nargs="+", default=["users", "groups"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        file = Path(home, "directory.ndjson")
        with file.open("wb") as out:
            for record in records(arguments.users, arguments.groups, arguments.memberships):
                out.write(orjson.dumps(record) + b"\n")
        print(f"{file.stat().st_size / 1e6:.0f} MB")
        stack = Stack(Path(home, "stack"), None, extra_environment=WIDE, temporary=True)
        try:
            stack.up()
            asyncio.run(measure(stack, file, arguments.services))
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    main()
