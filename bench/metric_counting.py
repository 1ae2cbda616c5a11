"""What it costs the metrics service to count events, and what a query costs, with three layouts on the same servers:

- as built: each amount is added to its minute, hour and day;
- minutes only: what would be left if a schedule made hours and days of minutes;
- partitions: as built, with `samples` in a partition for each week.

`.venv/bin/python bench/metric_counting.py [EVENTS]`. Batches of 500 events and single events, by ten tenants, in turns.
Printed: events per second, microseconds of CPU per event in this process and in PostgreSQL; milliseconds of queries;
minutes that retention removes per second. The figures are in docs/decisions/0037-amounts-count-at-every-step.md.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from unittest.mock import patch

import psutil
import uvloop
from audit_events import cpu_seconds

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config.settings import read_config
from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import new_id
from quartet_common.messaging import inbox
from quartet_common.messaging.envelope import Event
from quartet_metrics.app import SERVICE
from quartet_metrics.config import MetricsConfig
from quartet_metrics.retention import retention_store
from quartet_metrics.series import series_store
from quartet_metrics.subscriptions import count_events
from quartet_testing.faults import pids
from quartet_testing.limits import WIDE
from quartet_testing.services import RunningService, run_service

BATCH, TENANTS, DAYS, WEEKS = 500, 10, 30, 60
SINGLE = 1_000
ROUNDS = 50
NOW = utc_now()
FIRST = date(2000, 1, 1)
ACTIONS = (*["users.user.created"] * 2, "users.user.updated", "groups.membership.added")
QUERIES = {
    "30 days by hour": ("hour", 30),
    "30 days by day": ("day", 30),
    "an hour by minute": ("minute", 1 / 24),
}


def make_event(prefix: str, number: int) -> Event:
    """An event of now; of each four, two users are created, one is changed, and one joins a group."""
    action = ACTIONS[number % 4]
    return Event(
        id=new_id(),
        source=f"/{action.partition('.')[0]}",
        type=f"quartet.{action}.v1",
        subject=f"users/{number}",
        time=NOW,
        tenantid=f"{prefix}{number % TENANTS}",
        actorid="okta",
        actortype="client",
        sequence=1,
        data={"active": True, "changed": ["title"], "members": [{"value": "x"}]},
    )


async def count(service: RunningService, batch: list[Event]) -> None:
    """Inbox and effect in one transaction, as the consumer does it."""
    async with service.container.database.transaction() as connection:
        await count_events(connection, await inbox.add(connection, batch), FIRST)


async def measure_counting(service: RunningService, stack: Stack, layout: str, events: int) -> None:
    """Count batches, then single events."""
    for size, number in ((BATCH, events), (1, SINGLE)):
        batches = [[make_event(layout, n) for n in range(first, first + size)] for first in range(0, number, size)]
        postgres = psutil.Process(pids(stack)["postgres"])
        begun, own, theirs = time.perf_counter(), time.process_time(), cpu_seconds(postgres)
        for batch in batches:
            await count(service, batch)
        took = time.perf_counter() - begun
        each = [(spent / number) * 1e6 for spent in (time.process_time() - own, cpu_seconds(postgres) - theirs)]
        print(
            f"{layout:14} {size:4} at a time: {number / took:8,.0f} events/s; us of CPU each: here {each[0]:.1f}, "
            f"PostgreSQL {each[1]:.1f}",
            flush=True,
        )


async def measure_queries(service: RunningService, layout: str) -> None:
    """p50 and p99 of queries of a tenant with samples of 30 days."""
    tenant = f"{layout}0"
    headers = service.tokens.headers(tenant, ["metrics:read"])
    for name, (step, days) in QUERIES.items():
        since = f"{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
        asked = {"metric": "events", "by": "type", "step": step, "from": since}
        times = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            response = await service.client.get("/metrics/query", headers=headers, query_string=asked)
            assert response.status_code == 200, await response.get_data()
            times.append((time.perf_counter() - begun) * 1000)
        cuts = statistics.quantiles(times, n=100)
        print(f"{layout:14} {name:20} p50 {cuts[49]:6.1f} ms, p99 {cuts[98]:6.1f} ms", flush=True)


async def fill(service: RunningService, layout: str) -> None:
    """Samples of each minute, hour and day of 30 days for each series of a tenant."""
    for step, units in (("minute", 1440), ("hour", 24), ("day", 1)):
        for day in range(DAYS):
            async with service.container.database.transaction() as connection:
                await connection.execute(
                    f"""
                    INSERT INTO samples SELECT tenant_id, series, '{step}',
                        date_trunc('{step}', now(), 'UTC') - n * interval '1 {step}', 1
                    FROM series, generate_series($2::int + 1, $2 + $3::int) AS n
                    WHERE tenant_id = $1 ON CONFLICT DO NOTHING
                    """,
                    f"{layout}0",
                    day * units,
                    units,
                )
    async with service.container.database.connection() as connection:
        await connection.execute("ANALYZE samples")


async def measure_retention(service: RunningService, layout: str) -> None:
    """Seconds to delete the minutes that are not kept."""
    begun, removed = time.perf_counter(), 0
    keep = NOW - timedelta(days=7)
    some = 5000
    while some == 5000:
        async with service.container.database.transaction() as connection:
            some = await retention_store.prune_samples(connection, f"{layout}0", keep, keep - timedelta(days=999), 5000)
        removed += some
    took = time.perf_counter() - begun
    print(f"{layout:14} {removed:,} minutes removed in {took:.1f} s: {removed / took:,.0f}/s", flush=True)


async def partition(service: RunningService) -> None:
    """`samples` in weeks, from now back, and one partition for all before."""
    async with service.container.database.transaction() as connection:
        await connection.execute("ALTER TABLE samples RENAME TO plain_samples")
        await connection.execute("CREATE TABLE samples (LIKE plain_samples) PARTITION BY RANGE (start)")
        await connection.execute("ALTER TABLE samples ADD PRIMARY KEY (tenant_id, series, step, start)")
        edges = [NOW + timedelta(weeks=1 - n) for n in range(WEEKS)]
        await connection.execute(
            f"CREATE TABLE samples_old PARTITION OF samples FOR VALUES FROM (MINVALUE) TO ('{edges[-1]}')"
        )
        for number, (high, low) in enumerate(pairwise(edges)):
            await connection.execute(
                f"CREATE TABLE samples_{number} PARTITION OF samples FOR VALUES FROM ('{low}') TO ('{high}') "
                "WITH (fillfactor = 80)"
            )


@contextmanager
def configured() -> Iterator[tuple[Stack, MetricsConfig]]:
    """Servers that live as long as this, and the config of the service on them."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.start_servers()
            with patch.dict("os.environ", stack.environment("metrics", "api")):
                yield stack, read_config(MetricsConfig).model_copy(update={"minute_days": 400})
        finally:
            stack.down()
            remove(stack.home)


async def main(events: int) -> None:
    """Measure the three layouts."""
    only_minutes = MappingProxyType({"minute": series_store.STEPS["minute"]})
    with configured() as (stack, config):
        async with run_service(SERVICE, config) as service:
            for turn in ("a", "b"):
                await measure_counting(service, stack, f"built {turn}", events)
                with patch.object(series_store, "STEPS", only_minutes):
                    await measure_counting(service, stack, f"minutes {turn}", events)
            await fill(service, "built a")
            await measure_queries(service, "built a")
            await measure_retention(service, "built a")
            await partition(service)
            for turn in ("a", "b"):
                await measure_counting(service, stack, f"partitions {turn}", events)
            await fill(service, "partitions a")
            await measure_queries(service, "partitions a")


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
