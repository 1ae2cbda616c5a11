"""How fast the audit service takes events in, and what a page of GET /audit/events costs in a log of a million entries.

Starts PostgreSQL, Redis and RabbitMQ of its own, runs the service in this process (no network, no proxy), and prints a
table: `.venv/bin/python bench/audit_events.py [ENTRIES]`.

Measured on 2 cores that other work shared at the time (load 8 to 12), so these are upper bounds. Inbox and entries in
batches of 200: 6,900 entries/s; from the queue, acks included: 2,300/s. A page of 50 at 1,000,000 entries, p50 / p99 in
ms: newest 11 / 23, at 90 % of the log 8 / 33, oldest first 5 / 19, action 7 / 26, `users.user.*` 12 / 36, actor with
half of the log 7 / 33 and at 90 % of it 6 / 18, resource 2 / 7, outcome 6 / 19, from..to 7 / 24, two filters
7-20 / 19-69, filters that never meet (the bound of 10,000) 55 / 196. At load 3 and 200,000 entries the same pages took
1.5-3.5 / 3-14, two filters and the bound 10-17 / 15-26.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import msgspec
import uvloop
from aio_pika import Message

from quartet_audit.app import SERVICE
from quartet_audit.config import AuditConfig
from quartet_audit.entry_domain import Entry, append
from quartet_audit.entry_usecases import record_events
from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config.settings import read_config
from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import new_id
from quartet_common.messaging import inbox
from quartet_common.messaging.consumer import Consumer
from quartet_common.messaging.envelope import DENIED, SUCCESS, Event, encode
from quartet_common.messaging.stats import ConsumerStats
from quartet_common.messaging.topology import declare_exchange
from quartet_testing.conditions import eventually
from quartet_testing.limits import WIDE
from quartet_testing.services import RunningService, run_service

TENANT = "bench"
BATCH = 200
BATCHES = 50
ROUNDS = 300
VERBS = {"users.user": 8, "users.session": 4, "groups.group": 6, "groups.membership": 4, "audit.request": 2}
ACTIONS = [f"{kind}.verb{number}" for kind, count in VERBS.items() for number in range(count)]
COLUMNS = ["tenant_id", "sequence", "id", "time", "recorded_at", "action", "actor", "resource_id", "outcome", "entry"]
NOW = utc_now()
choose = random.Random(7)  # noqa: S311  # nosec B311  # the same log each time


def make_event(tenant: str, age: float) -> Event:
    """An event as a provisioning customer makes them: half of all by one actor, one in a hundred denied."""
    actor = "okta" if choose.random() < 0.5 else f"actor-{choose.randrange(1000)}"
    return Event(
        id=new_id(),
        source="/users",
        type=f"quartet.{choose.choice(ACTIONS)}.v1",
        subject=f"users/{choose.randrange(100_000)}",
        time=NOW - timedelta(seconds=age),
        tenantid=tenant,
        actorid=actor,
        sequence=1,
        outcome=DENIED if choose.random() < 0.01 else SUCCESS,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        sourceip="192.0.2.7",
        data={"userName": f"user-{choose.randrange(100_000)}@example.com", "changed": ["displayName", "active"]},
    )


@contextmanager
def configured() -> Iterator[AuditConfig]:
    """The service's config on servers that live as long as this."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.start_servers()
            with patch.dict("os.environ", stack.environment("audit", "api")):
                yield read_config(AuditConfig)
        finally:
            stack.down()
            remove(stack.home)


async def measure_intake(service: RunningService, tenants: int) -> None:
    """Entries a second through inbox and handler, one transaction a batch."""
    batches = [[make_event(f"t{n % tenants}", 0) for n in range(BATCH)] for _ in range(BATCHES)]
    begun = time.perf_counter()
    for batch in batches:
        async with service.container.database.transaction() as connection:
            await record_events(connection, await inbox.add(connection, batch), utc_now())
    seconds = time.perf_counter() - begun
    print(f"intake, {tenants:3} tenants: {BATCH * BATCHES / seconds:8,.0f} entries/s")


async def measure_consumer(service: RunningService, count: int) -> None:
    """Events a second from the queue to the log: RabbitMQ, envelope, inbox, entries, commit, ack."""
    container = service.container
    events = [make_event("queue", 0) for _ in range(count)]
    async with container.broker.connection("bench") as connection:
        channel = await connection.channel()
        exchange = await declare_exchange(channel)
        for first in range(0, count, 1000):
            messages = [(Message(encode(event)), event.routing_key) for event in events[first : first + 1000]]
            await asyncio.gather(*(exchange.publish(message, key) for message, key in messages))
    subscriptions = SERVICE.subscriptions(container)
    consumer = Consumer("audit", container.broker, container.database, subscriptions, ConsumerStats())

    async def done() -> bool:
        async with container.database.connection() as database:
            return bool(await database.fetchval("SELECT size = $1 FROM logs WHERE tenant_id = 'queue'", count))

    begun = time.perf_counter()
    running = asyncio.ensure_future(consumer.run())
    await eventually(done, f"{count} entries", 120)
    seconds = time.perf_counter() - begun
    consumer.stop()
    await running
    print(f"consumer, 1 tenant:   {count / seconds:8,.0f} entries/s")


async def fill(service: RunningService, count: int) -> None:
    """Put `count` entries into one log by COPY: the ages fall, with a little disorder."""
    encoder = msgspec.json.Encoder()

    async def rows(first: int, last: int) -> AsyncIterator[tuple[object, ...]]:
        events = [make_event(TENANT, (count - number) * 2.6 + choose.random() * 60) for number in range(first, last)]
        for entry in append(events, {TENANT: first}, NOW):
            yield _row(entry, encoder)

    begun = time.perf_counter()
    async with service.container.database.transaction() as connection:
        for first in range(0, count, 20_000):
            await connection.copy_records_to_table(
                "entries", records=rows(first, min(count, first + 20_000)), columns=COLUMNS, timeout=120
            )
        await connection.execute("INSERT INTO logs (tenant_id, size) VALUES ($1, $2)", TENANT, count)
    print(f"filled with {count:,} entries in {time.perf_counter() - begun:.0f} s")


def _row(entry: Entry, encoder: msgspec.json.Encoder) -> tuple[object, ...]:
    text = encoder.encode(entry).decode()
    return (
        *(entry.tenant, entry.sequence, entry.id, entry.time, entry.recorded_time, entry.action, entry.actor),
        *(entry.resource.id, entry.outcome, text),
    )


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


@asynccontextmanager
async def running() -> AsyncIterator[RunningService]:
    """The service in this process."""
    with configured() as config:
        async with run_service(SERVICE, config) as service:
            yield service


async def main(count: int) -> None:
    """Run everything."""
    async with running() as service:
        await measure_intake(service, 1)
        await measure_intake(service, 50)
        await measure_consumer(service, 20_000)
        await fill(service, count)
        await measure_pages(service, count)
        await measure_intake(service, 1)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
