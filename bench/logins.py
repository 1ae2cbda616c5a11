"""What logins cost: how many a second and per second of the processor, and what reads notice of 20 people who log in.

Run `.venv/bin/python bench/logins.py [SECONDS] [THREADS...]`: it makes a stack of its own for each number of hashing
threads (QUARTET_PASSWORD_THREADS) and removes it. Everything goes through the proxy. The clients log in without pause,
so there is always somebody waiting; a 429 or 503 counts as turned away. Reads are GETs of one user, one after the
other on 4 connections, first alone and then during the logins. "Per CPU second" divides by the time that the api of
users used, hashing included, and tells what one core gives whatever else the machine does.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import USERS, Api
from quartet_testing.plain import PlainClient

TENANT = "bench"
PASSWORD = "correct horse battery staple"  # noqa: S105  # nosec B105  # of users that are made for this
PEOPLE = 20
READERS = 4
UNLIMITED = {f"QUARTET_LIMIT_{name}": "off" for name in ("CLIENT", "USER", "ADDRESS", "REFUSED")}


@dataclass
class Seen:
    """Seconds of each read, and how the logins were answered."""

    reads: list[float] = field(default_factory=list)
    logins: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)


def percentile(values: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return sorted(values)[int(len(values) * share)] * 1000 if values else 0.0


def cpu_seconds(pid: int) -> float:
    """What a process and its threads have used."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


async def read(url: str, token: str, path: str, until: float, seen: Seen) -> None:
    """Read one user again and again."""
    async with PlainClient(url, token) as plain:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            status, _ = await plain.get(path)
            assert status == 200
            seen.reads.append(time.perf_counter() - begun)


async def log_in(url: str, token: str, user_name: str, until: float, seen: Seen) -> None:
    """Log in again and again."""
    body = json.dumps({"tenant": TENANT, "user_name": user_name, "password": PASSWORD}).encode()
    async with PlainClient(url, token) as plain:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            status, answer = await plain.post("/users/login", body)
            assert status in (200, 429, 503), answer
            seen.logins[status] += 1
            seen.waits.append(time.perf_counter() - begun)


async def measure(stack: Stack, seconds: float, threads: int) -> None:
    """One line of reads alone, logins alone, and both."""
    token = await asyncio.to_thread(stack.token, TENANT)
    pid = next(process.pid for process in stack.status() if process.name == "users-api")
    assert pid is not None
    async with Api(stack.url, token) as api:
        people = [await api.create_user(password=PASSWORD) for _ in range(PEOPLE)]
    path = f"{USERS}/{people[0]['id']}"
    for name, readers, clients in (
        ("reads alone", READERS, 0),
        ("one person", 0, 1),
        (f"{PEOPLE} people", 0, PEOPLE),
        (f"reads during logins of {PEOPLE} people", READERS, PEOPLE),
    ):
        seen, used, begun = Seen(), cpu_seconds(pid), time.perf_counter()
        until = begun + seconds
        await asyncio.gather(
            *(read(stack.url, token, path, until, seen) for _ in range(readers)),
            *(log_in(stack.url, token, one["userName"], until, seen) for one in people[:clients]),
        )
        took, used = time.perf_counter() - begun, cpu_seconds(pid) - used
        done = seen.logins[200]
        middle, high = percentile(seen.reads, 0.5), percentile(seen.reads, 0.99)
        reads = f"{len(seen.reads) / took:.0f}/s, p50 {middle:.1f}, p99 {high:.1f} ms"
        logins = f"{done / took:.1f}/s, {done / used:.1f} per CPU second, p50 {percentile(seen.waits, 0.5):.0f} ms"
        refused = seen.logins[429] + seen.logins[503]
        print(
            f"{threads} threads, {name}: reads {reads}; logins {logins}, {refused} turned away",
            flush=True,
        )


def main() -> None:
    """Measure with each number of threads."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    for threads in map(int, sys.argv[2:] or ["1", "2"]):
        with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
            settings = {**UNLIMITED, "QUARTET_PASSWORD_THREADS": str(threads)}
            stack = Stack(Path(home), extra_environment=settings, temporary=True)
            try:
                stack.up()
                asyncio.run(measure(stack, seconds, threads))
            finally:
                stack.down()
                remove(stack.home)


if __name__ == "__main__":
    main()
