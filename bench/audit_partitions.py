"""What monthly partitions of `entries` and `personal_parts` cost: appends and reads with the tables as they are, then
with both partitioned by ranges of ids, one after the other on the same servers and with the same entries.

`.venv/bin/python bench/audit_partitions.py [ENTRIES]`. With partitions the parts of an entry are found by its id, and
the contents of a page too, so that PostgreSQL reads one partition for each. A page itself is in the order of time, for
which no partition can be left out. The figures are in docs/decisions/0035-no-partitions-of-entries.md.
"""

import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID

import msgspec
import uvloop
from audit_events import NOW, TENANT, configured, make_event

from quartet_audit.app import SERVICE
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.entries import entry_search_store, entry_store
from quartet_audit.entries.entry_domain import NewEntry, Position, Search
from quartet_audit.entries.entry_usecases import record_events
from quartet_audit.proofs import proof_store
from quartet_audit.retention.retention_usecases import prune_all
from quartet_common.core.clock import utc_now
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_testing.services import RunningService, run_service

MONTHS = 36
BATCH, BATCHES, REPEATS = 200, 50, 3
FILL = 2000
ROUNDS = 300
choose = random.Random(7)  # noqa: S311  # nosec B311  # the same log each time

INDEXES = ("time", "action", "actor", "resource_id", "outcome")
PARTITIONED = (
    "ALTER TABLE entries RENAME TO plain_entries",
    "ALTER TABLE personal_parts RENAME TO plain_parts",
    "CREATE TABLE entries (LIKE plain_entries) PARTITION BY RANGE (id)",
    "CREATE TABLE personal_parts (LIKE plain_parts, id uuid NOT NULL) PARTITION BY RANGE (id)",
)
KEYS = (
    "CREATE UNIQUE INDEX ON entries (tenant_id, id)",
    "CREATE INDEX ON entries (tenant_id, sequence)",
    "CREATE INDEX ON entries (tenant_id, time, sequence)",
    *(f"CREATE INDEX ON entries (tenant_id, {column}, time, sequence)" for column in INDEXES[1:]),
    "CREATE UNIQUE INDEX ON personal_parts (tenant_id, id)",
    "CREATE INDEX ON personal_parts (tenant_id, sequence)",
)
FILLED = (
    "INSERT INTO entries SELECT * FROM plain_entries",
    "INSERT INTO personal_parts SELECT p.*, e.id FROM plain_parts p JOIN plain_entries e USING (tenant_id, sequence)",
    "ANALYZE",
)
BY_SEQUENCE = "WHERE tenant_id = e.tenant_id AND sequence = e.sequence OFFSET 0"
BY_ID = "WHERE tenant_id = e.tenant_id AND id = e.id OFFSET 0"
SEARCHES = {
    "first page": Search(),
    "page in the middle": Search(before=Position(NOW - timedelta(days=540), 0)),
    "action": Search(action="users.user.verb3"),
    "action prefix": Search(prefix="users.user."),
    "actor with half of the log": Search(actor="okta"),
    "rare actor": Search(actor="actor-7"),
    "resource": Search(resource="777"),
    "actor + outcome": Search(actor="okta", outcome="denied"),
}


def id_at(when: datetime) -> UUID:
    """A UUIDv7 of this time."""
    milliseconds = int(when.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 7 << 76 | choose.getrandbits(12) << 64 | 2 << 62 | choose.getrandbits(62))


def bound(when: datetime) -> str:
    """The first id of a time."""
    return str(UUID(int=int(when.timestamp() * 1000) << 80))


def months() -> list[datetime]:
    """The beginnings of MONTHS months up to the next one."""
    first = NOW.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    indexes = [first.year * 12 + first.month - 1 - number for number in range(-1, MONTHS)]
    return [first.replace(year=index // 12, month=index % 12 + 1) for index in reversed(indexes)]


def old_event(age: float) -> Event:
    """An event with an id of its time."""
    event = make_event(TENANT, age)
    return msgspec.structs.replace(event, id=id_at(event.time))


async def fill(service: RunningService, count: int) -> None:
    """Put `count` entries over all months into one log."""
    step = timedelta(days=30 * (MONTHS - 1)).total_seconds() / count
    for first in range(0, count, FILL):
        events = [old_event((count - number) * step) for number in range(first, min(count, first + FILL))]
        async with service.container.database.transaction() as connection:
            await record_events(connection, events, NOW)
    async with service.container.database.connection() as connection:
        await connection.execute("ANALYZE", timeout=120)


async def partition(service: RunningService) -> None:
    """Replace both tables by partitioned ones with the same rows, and have the service use ids."""
    async with service.container.database.transaction() as connection:
        for statement in PARTITIONED:
            await connection.execute(statement)
        for table in ("entries", "personal_parts"):
            await connection.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
            for start, end in pairwise(months()):
                name = f"{table}_{start:%Y%m}"
                limits = f"FROM ('{bound(start)}') TO ('{bound(end)}')"
                await connection.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES {limits}")
        for statement in (*KEYS, *FILLED):
            await connection.execute(statement, timeout=300)
    entry_store.add_entries = add_entries_with_ids


async def add_entries_with_ids(connection: Connection, entries: Sequence[NewEntry]) -> None:
    """As `entry_store.add_entries`, with the id in the parts too."""
    rows = [(*entry[:9], *entry.parts["facts"]) for entry in entries]
    await connection.copy_records_to_table("entries", records=rows, columns=entry_store.ENTRY_COLUMNS)
    personal = [(entry.tenant, entry.sequence, *entry_store._personal(entry.parts), entry.id) for entry in entries]
    columns = (*entry_store.PART_COLUMNS, "id")
    await connection.copy_records_to_table("personal_parts", records=personal, columns=columns)


async def measure_appends(service: RunningService) -> None:
    """Entries a second, the best of REPEATS."""
    best = 0.0
    for _ in range(REPEATS):
        waiting = [[make_event("appends", 0) for _ in range(BATCH)] for _ in range(BATCHES)]
        async with service.container.database.connection() as connection:
            await connection.execute("ANALYZE entries", timeout=120)
        begun = time.perf_counter()
        for batch in waiting:
            async with service.container.database.transaction() as connection:
                await record_events(connection, batch, utc_now())
        best = max(best, BATCH * BATCHES / (time.perf_counter() - begun))
    print(f"  appends: {best:,.0f} entries/s")


async def measure_pruning(service: RunningService) -> None:
    """Expired entries that retention removes a second, in its own transactions, in a log of their own."""
    count = BATCH * BATCHES * REPEATS
    for _ in range(count // FILL):
        async with service.container.database.transaction() as connection:
            await record_events(connection, [make_event("pruned", 0) for _ in range(FILL)], NOW - timedelta(days=40))
    await CheckpointSigner(service.container).run()
    async with service.container.database.connection() as connection:
        await connection.execute("INSERT INTO retentions VALUES ('pruned', 30, now(), 'bench')")
    begun = time.perf_counter()
    await prune_all(service.container)
    print(f"  retention: {count / (time.perf_counter() - begun):,.0f} entries/s")


async def measure(
    service: RunningService, name: str, read: Callable[[Connection], Awaitable[object]], *, generic: bool
) -> None:
    """p50 and p99 of a read in a snapshot of its own."""
    times = []
    for _ in range(ROUNDS):
        async with service.container.database.snapshot() as connection:
            if generic:
                await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            begun = time.perf_counter()
            await read(connection)
            times.append((time.perf_counter() - begun) * 1000)
    cuts = statistics.quantiles(times, n=100)
    print(f"  {name:30} p50 {cuts[49]:7.2f} ms   p99 {cuts[98]:7.2f} ms")


async def measure_reads(service: RunningService, contents: str, count: int, *, generic: bool = False) -> None:
    """Pages without the contents of their entries, these contents, one entry, and what a proof reads. `generic`:
    statements are planned once for all values.
    """
    timed = partial(measure, service, generic=generic)
    for name, search in SEARCHES.items():
        await timed(name, partial(entry_search_store.read_page, tenant=TENANT, search=search))
    async with service.container.database.connection() as connection:
        found = await connection.fetch(
            "SELECT id, sequence FROM entries WHERE tenant_id = $1 AND sequence = ANY($2)",
            TENANT,
            list(range(count // 2, count // 2 + 50)),
        )
    ids, sequences = [row["id"] for row in found], [row["sequence"] for row in found]
    by_sequence, by_id = f"{contents} AND e.sequence = ANY($2)", f"{contents} AND e.id = ANY($2)"
    await timed("contents of 50 by sequence", lambda one: one.fetch(by_sequence, TENANT, sequences))
    await timed("contents of 50 by id", lambda one: one.fetch(by_id, TENANT, ids))
    await timed("one entry by id", lambda one: one.fetch(f"{contents} AND e.id = $2", TENANT, ids[0]))
    await timed("what a proof reads", lambda one: proof_store.read_entry(one, TENANT, ids[0]))


async def main(entries: int) -> None:
    """Run everything."""
    with configured() as (_, _, owner):
        async with run_service(SERVICE, owner) as service:
            await fill(service, entries)
            print(f"{entries:,} entries in one table, load {os.getloadavg()[0]:.1f}")
            await measure_appends(service)
            await measure_reads(service, entry_store.CONTENTS, entries)
            await measure_pruning(service)
            await partition(service)
            print(f"the same in {MONTHS} partitions, load {os.getloadavg()[0]:.1f}")
            await measure_appends(service)
            contents = entry_store.CONTENTS.replace(BY_SEQUENCE, BY_ID)
            await measure_reads(service, contents, entries)
            print(f"the same with generic plans, load {os.getloadavg()[0]:.1f}")
            await measure_reads(service, contents, entries, generic=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 360_000))
