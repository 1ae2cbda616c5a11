"""What counting costs: events a second that the metrics consumer takes in, and how long questions take at 10^6 rows.

Run: .venv/bin/python bench/metrics_rollup.py [--batches 200]
It starts PostgreSQL, Redis and RabbitMQ of its own in a temporary folder and removes them at the end.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from os import environ
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import uvloop
from aio_pika import DeliveryMode, Message

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config import read_config
from quartet_common.container import AppContainer
from quartet_common.ids import new_id
from quartet_common.messaging.consumer import BATCH, Consumer
from quartet_common.messaging.envelope import CONTENT_TYPE, Event, encode
from quartet_common.messaging.stats import ConsumerStats
from quartet_common.messaging.topology import EXCHANGE
from quartet_metrics import store
from quartet_metrics.app import SERVICE
from quartet_metrics.config import MetricsConfig
from quartet_metrics.domain import METRICS, STEPS, Query
from quartet_metrics.subscriptions import count_events
from quartet_testing.limits import WIDE
from quartet_testing.services import RunningService, run_service

ACTIONS = [f"{kind}.{what}" for kind in ("users.user", "groups.group") for what in ("created", "replaced", "deleted")]
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROUNDS = 200


@contextmanager
def stack() -> Iterator[Stack]:
    """Servers of the benchmark's own."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        made = Stack(Path(home), extra_environment=WIDE, temporary=True)
        try:
            made.start_servers()
            yield made
        finally:
            made.down()
            remove(made.home)


def event(number: int, tenants: int) -> Event:
    """One of many: tenants, actions and three hours mixed."""
    return Event(
        id=new_id(),
        source="/users",
        type=f"quartet.{ACTIONS[number % len(ACTIONS)]}.v1",
        subject=f"users/{new_id()}",
        time=START + HOUR * (number % 3),
        tenantid=f"tenant-{number % tenants}",
        actorid="bench",
        sequence=1,
        data={"userName": "bjensen@example.com", "displayName": "Babs Jensen"},
    )


class Done(ConsumerStats):
    """Tells when a number of events has been handled."""

    def __init__(self, expected: int) -> None:
        super().__init__()
        self.left = expected
        self.all = asyncio.Event()

    def count(self, result: str, number: int = 1) -> None:
        super().count(result, number)
        self.left -= number
        if self.left <= 0:
            self.all.set()


async def handler(container: AppContainer[Any], batches: int, tenants: int) -> float:
    """Events a second of the handler alone: one transaction with one statement per batch."""
    prepared = [[event(batch * BATCH + n, tenants) for n in range(BATCH)] for batch in range(batches)]
    started = perf_counter()
    for events in prepared:
        async with container.database.transaction() as connection:
            await count_events(connection, events)
    return batches * BATCH / (perf_counter() - started)


async def consumed(container: AppContainer[Any], batches: int, tenants: int, consumers: int) -> float:
    """Events a second off a full queue, with inbox and acks."""
    number = batches * BATCH
    async with container.broker.connection("bench") as connection:
        exchange = await (await connection.channel()).get_exchange(EXCHANGE)
        for start in range(0, number, 1000):
            messages = [event(n, tenants) for n in range(start, min(start + 1000, number))]
            await asyncio.gather(*(exchange.publish(_message(item), item.routing_key) for item in messages))
    done = Done(number)
    running = [
        Consumer("metrics", container.broker, container.database, SERVICE.subscriptions(container), done)
        for _ in range(consumers)
    ]
    started = perf_counter()
    tasks = [asyncio.ensure_future(consumer.run()) for consumer in running]
    await done.all.wait()
    seconds = perf_counter() - started
    for consumer in running:
        consumer.stop()
    await asyncio.wait(tasks)
    return number / seconds


def _message(item: Event) -> Message:
    return Message(encode(item), content_type=CONTENT_TYPE, delivery_mode=DeliveryMode.PERSISTENT)


async def fill(container: AppContainer[Any]) -> None:
    """1,000,000 counts: one tenant with 500,000 of them (five years and a half of hours), 100 with 5,000 each."""
    rows = """INSERT INTO event_counts SELECT tenant, $1::timestamptz + hour * interval '1 hour', 'users.a' || action,
              CASE action WHEN 1 THEN 'denied' ELSE 'success' END, 1
              FROM unnest($2::text[]) tenant, generate_series(0, $3::int - 1) hour, generate_series(1, 10) action"""
    async with container.database.pool.acquire() as connection:
        await connection.execute(rows, START, ["large"], 50_000, timeout=120)
        await connection.execute(rows, START, [f"small-{n}" for n in range(100)], 500, timeout=120)
        await connection.execute("VACUUM ANALYZE event_counts", timeout=120)


async def questions(service: RunningService) -> None:
    """p50 and p99 of a question over HTTP (in-process client), and the plan of one."""
    print("\nquestion (tenant with 500,000 of 1,000,000 counts)      p50 ms   p99 ms")
    for text, hours, step, by in (
        ("a day in hours", 24, "hour", "none"),
        ("a day in hours by type", 24, "hour", "type"),
        ("a month in days by type", 24 * 30, "day", "type"),
        ("41 days in hours by type (9,840 points)", 984, "hour", "type"),
        ("a year in days by type", 24 * 365, "day", "type"),
        ("all five years and a half in days", 50_000, "day", "none"),
    ):
        times = await _ask(service, hours, step, by)
        cuts = statistics.quantiles(times, n=100)
        print(f"{text:<55}{cuts[49]:>7.1f}{cuts[98]:>9.1f}")
    query = Query(METRICS["events"], START + 9 * HOUR, START + 33 * HOUR, STEPS["hour"], "type")
    async with service.container.database.connection() as connection:
        plan = await connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {store.SUMS['type']}",
            "large", query.start, query.end, HOUR, None, 10_001,
        )  # fmt: skip
    print("\n" + "\n".join(row[0] for row in plan))


async def _ask(service: RunningService, hours: int, step: str, by: str) -> list[float]:
    headers = service.tokens.headers("large", ["metrics:read"])
    since, until = START + 9 * HOUR, START + (9 + hours) * HOUR
    question = {"metric": "events", "from": since.isoformat(), "to": until.isoformat(), "step": step, "by": by}
    times = []
    for _ in range(ROUNDS if hours < 10_000 else ROUNDS // 10):
        started = perf_counter()
        response = await service.client.get("/metrics/query", query_string=question, headers=headers)
        assert response.status_code == 200, await response.get_data()
        times.append((perf_counter() - started) * 1000)
    return times


async def run(config: MetricsConfig, batches: int) -> None:
    """Everything."""
    async with run_service(SERVICE, config) as service:
        container = service.container
        for tenants in (1, 50):
            rates = [await handler(container, batches, tenants) for _ in range(3)]
            print(f"handler alone, {tenants:>2} tenants: {_text(rates)} events/s")
        for tenants, consumers in ((1, 1), (50, 1), (50, 2)):
            rates = [await consumed(container, batches, tenants, consumers) for _ in range(3)]
            print(f"consumer, {tenants:>2} tenants, {consumers} in one process: {_text(rates)} events/s")
        await fill(container)
        await questions(service)


def _text(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):,.0f} (median of {', '.join(f'{rate:,.0f}' for rate in rates)})"


def main() -> None:
    """Read the arguments, start the servers, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=200, help="batches of 200 events per run")
    batches: int = parser.parse_args().batches
    with stack() as servers:
        variables = {**servers.environment("metrics", "api"), "QUARTET_LOG_LEVEL": "ERROR"}
        with patch.dict(environ, variables):
            config = read_config(MetricsConfig)
        uvloop.run(run(config, batches))


if __name__ == "__main__":
    main()
