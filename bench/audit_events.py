"""How fast the audit service takes events in, and what a page of GET /audit/events costs in a log of a million entries.

Starts PostgreSQL, Redis and RabbitMQ of its own, runs the service in this process (no network, no proxy), and prints a
table: `.venv/bin/python bench/audit_events.py [ENTRIES [EVENTS]]`, EVENTS for the worker.

What parts and trees cost is in docs/decisions/0032-parts-and-leaves.md. The figures here are of the schema before, with
events of 0.5 kB, on 2 cores that other work shared at the time (load 8 to 12). Inbox and entries in batches of 200:
6,900 entries/s; from the queue, acks included: 2,300/s. A page of 50 at 1,000,000 entries, p50 / p99 in
ms: newest 11 / 23, at 90 % of the log 8 / 33, oldest first 5 / 19, action 7 / 26, `users.user.*` 12 / 36, actor with
half of the log 7 / 33 and at 90 % of it 6 / 18, resource 2 / 7, outcome 6 / 19, from..to 7 / 24, two filters
7-20 / 19-69, filters that never meet (the bound of 10,000) 55 / 196. At load 3 and 200,000 entries the same pages took
1.5-3.5 / 3-14, two filters and the bound 10-17 / 15-26.
"""

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import psutil
import uvloop
from opentelemetry.trace import INVALID_SPAN

from quartet_audit.app import SERVICE
from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_usecases import record_events
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config.settings import read_config
from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import connect_once
from quartet_common.messaging.batches import OutboxRow, batches, message_of
from quartet_common.messaging.envelope import DENIED, SUCCESS, Event, encode
from quartet_common.messaging.topology import declare_exchange
from quartet_testing.conditions import eventually
from quartet_testing.faults import pids
from quartet_testing.limits import WIDE
from quartet_testing.services import RunningService, run_service

TENANT = "bench"
BATCH = 200
BATCHES = 50
ROUNDS = 300
VERBS = {"users.user": 8, "users.session": 4, "groups.group": 6, "groups.membership": 4, "audit.request": 2}
ACTIONS = [f"{kind}.verb{number}" for kind, count in VERBS.items() for number in range(count)]
FILL = 2000
TENANTS = 10
NOW = utc_now()
choose = random.Random(7)  # noqa: S311  # nosec B311  # the same log each time


def make_event(tenant: str, age: float) -> Event:
    """An event of 1 kB as a provisioning customer makes them: half of all by one actor, one in a hundred denied."""
    actor = "okta" if choose.random() < 0.5 else f"actor-{choose.randrange(1000)}"
    name = f"user-{choose.randrange(100_000)}@example.com"
    changed = {f"attribute{number}": {"before": f"{name} {number}", "after": f"new {name}"} for number in range(4)}
    return Event(
        id=new_id(),
        source="/users",
        type=f"quartet.{choose.choice(ACTIONS)}.v1",
        subject=f"users/{choose.randrange(100_000)}",
        time=NOW - timedelta(seconds=age),
        tenantid=tenant,
        actorid=actor,
        actorname=f"{actor}@example.com",
        actortype="user",
        sequence=1,
        outcome=DENIED if choose.random() < 0.01 else SUCCESS,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        sourceip="192.0.2.7",
        useragent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        data={"userName": name, "changed": changed},
    )


@contextmanager
def configured() -> Iterator[tuple[Stack, AuditConfig, AuditConfig]]:
    """Servers that live as long as this, and on them the configs of the service and of the owner of its tables."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.start_servers()
            with patch.dict("os.environ", stack.environment("audit", "migrate")):
                owner = read_config(AuditConfig)
            with patch.dict("os.environ", stack.environment("audit", "api")):
                yield stack, read_config(AuditConfig), owner
        finally:
            stack.down()
            remove(stack.home)


async def measure_intake(service: RunningService, tenants: int) -> None:
    """Entries a second, one transaction a batch, and this process's CPU time of each."""
    waiting = [[make_event(f"t{n % tenants}", 0) for n in range(BATCH)] for _ in range(BATCHES)]
    begun, spent = time.perf_counter(), time.process_time()
    for batch in waiting:
        async with service.container.database.transaction() as connection:
            await record_events(connection, batch, utc_now())
    seconds, spent = time.perf_counter() - begun, time.process_time() - spent
    number = BATCH * BATCHES
    print(f"intake, {tenants:3} tenants: {number / seconds:8,.0f} entries/s, {spent / number * 1e6:.0f} us CPU each")


async def publish(service: RunningService, count: int) -> None:
    """Put events of 1 kB into the queue, in the messages that the relay makes of them."""
    async with service.container.broker.connection("bench") as connection:
        channel = await connection.channel()
        exchange = await declare_exchange(channel)
        for first in range(0, count, 2000):
            events = [make_event(f"w{number % TENANTS}", 0) for number in range(first, min(count, first + 2000))]
            rows = [
                OutboxRow(0, event.tenantid, event.actorid, event.subject, event.type, event.id, None, encode(event))
                for event in events
            ]
            for some in batches(rows):
                keys = sorted({row.routing_key for row in some})
                await exchange.publish(message_of(some, keys, INVALID_SPAN), keys[0])


async def measure_worker(service: RunningService, stack: Stack, count: int) -> None:
    """Events a second that a worker of its own takes from the queue, in which all of them wait, with its memory; and
    the CPU time of an event in the worker and in PostgreSQL.
    """
    await publish(service, count)
    environment = {**os.environ, **stack.environment("audit", "worker")}
    worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "quartet_audit", "worker", env=environment)
    parts = [psutil.Process(worker.pid), psutil.Process(pids(stack)["postgres"])]
    try:
        await eventually(lambda: recorded(service, 1), "the first entries", 60)
        before, begun, spent = await recorded(service, 0), time.perf_counter(), [cpu_seconds(one) for one in parts]
        await eventually(lambda: recorded(service, count), f"{count} entries", 600)
        seconds, number = time.perf_counter() - begun, count - before
        each = [(cpu_seconds(one) - old) / number * 1e6 for one, old in zip(parts, spent, strict=True)]
        memory = parts[0].memory_info().rss / 1e6
    finally:
        worker.terminate()
        await worker.wait()
    print(
        f"worker, {TENANTS} tenants, {number:,} events: {number / seconds:,.0f} entries/s, {memory:.0f} MB; "
        f"us of CPU each: worker {each[0]:.0f}, PostgreSQL {each[1]:.0f}"
    )


async def recorded(service: RunningService, least: int) -> int:
    """How many entries the tenants of the worker have, 0 if fewer than `least`."""
    async with service.container.database.connection() as connection:
        size = await connection.fetchval("SELECT coalesce(sum(size), 0)::bigint FROM logs WHERE tenant_id LIKE 'w%'")
    return int(size) if size >= least else 0


def cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and its children so far."""
    spent = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


async def fill(service: RunningService, owner: AuditConfig, count: int) -> None:
    """Put `count` entries into one log: the ages fall, with a little disorder."""
    begun = time.perf_counter()
    for first in range(0, count, FILL):
        last = min(count, first + FILL)
        events = [make_event(TENANT, (count - number) * 2.6 + choose.random() * 60) for number in range(first, last)]
        async with service.container.database.transaction() as connection:
            await record_events(connection, events, NOW)
    connection = await connect_once(owner)
    await connection.execute("ANALYZE", timeout=120)
    await connection.close()
    print(f"filled with {count:,} entries in {time.perf_counter() - begun:.0f} s")


async def measure(service: RunningService, name: str, query: Mapping[str, str], path: str = "/audit/events") -> None:
    """p50 and p99 of one question, asked again and again."""
    headers = service.tokens.headers(TENANT, ["audit:read"])
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        response = await service.client.get(path, headers=headers, query_string=dict(query))
        body = await response.get_json()
        times.append((time.perf_counter() - begun) * 1000)
        assert response.status_code == 200, body
    cuts = statistics.quantiles(times, n=100)
    found = len(body.get("events", [body]))
    onward = "more" if body.get("next") else "end"
    print(f"{name:34} p50 {cuts[49]:7.2f} ms   p99 {cuts[98]:7.2f} ms   {found:3} entries, {onward}")


async def deep_cursor(service: RunningService, query: Mapping[str, str], pages: int) -> str:
    """The cursor after `pages` pages of 500."""
    headers = service.tokens.headers(TENANT, ["audit:read"])
    cursor = ""
    for _ in range(pages):
        response = await service.client.get(
            "/audit/events", headers=headers, query_string={**query, "limit": "500", "cursor": cursor}
        )
        cursor = (await response.get_json())["next"]
    return cursor


async def measure_pages(service: RunningService, count: int) -> None:
    """Every filter, the first page and a deep one, and combinations."""
    deep = await deep_cursor(service, {}, count // 500 * 9 // 10)
    actor_deep = await deep_cursor(service, {"actor": "okta"}, count // 2 // 500 * 9 // 10)
    middle = {"from": (NOW - timedelta(seconds=count * 1.3)).isoformat(), "to": NOW.isoformat()}
    async with service.container.database.connection() as connection:
        identifier: UUID = await connection.fetchval("SELECT id FROM entries WHERE sequence = $1", count // 2)
    await measure(service, "one entry by id", {}, f"/audit/events/{identifier}")
    await measure(service, "first page", {})
    await measure(service, "first page of 500", {"limit": "500"})
    await measure(service, "page at 90 % of the log", {"cursor": deep})
    await measure(service, "oldest first", {"order": "asc"})
    await measure(service, "action", {"action": "users.user.verb3"})
    await measure(service, "action users.user.*", {"action": "users.user.*"})
    await measure(service, "action audit.* oldest first", {"action": "audit.*", "order": "asc"})
    await measure(service, "actor with half of the log", {"actor": "okta"})
    await measure(service, "... at 90 % of it", {"actor": "okta", "cursor": actor_deep})
    await measure(service, "rare actor", {"actor": "actor-7"})
    await measure(service, "unknown actor", {"actor": "nobody"})
    await measure(service, "resource", {"resource": "777"})
    await measure(service, "outcome denied", {"outcome": "denied"})
    await measure(service, "from, to", middle)
    await measure(service, "actor + outcome", {"actor": "okta", "outcome": "denied"})
    await measure(service, "action + actor", {"action": "users.user.verb3", "actor": "okta"})
    await measure(service, "actor + action users.*", {"action": "users.*", "actor": "okta"})
    await measure(service, "actor + outcome + from, to", {"actor": "okta", "outcome": "denied", **middle})
    await measure(service, "two that never meet", {"action": "users.user.verb3", "outcome": "nothing"})
    await measure(service, "prefix that never meets", {"action": "nothing.*", "actor": "okta"})


async def main(entries: int, events: int) -> None:
    """Run everything."""
    with configured() as (stack, config, owner):
        async with run_service(SERVICE, config, owner) as service:
            await measure_intake(service, 1)
            await measure_intake(service, 50)
            await measure_worker(service, stack, events)
            await fill(service, owner, entries)
            await measure_pages(service, entries)
            await measure_intake(service, 1)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    uvloop.run(main(*given, *(1_000_000, 50_000)[len(given) :]))
