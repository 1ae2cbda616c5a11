"""What each filter of GET /audit/events, each pair of them, and a histogram cost in a large log.

Fills a log in a PostgreSQL of its own by SQL, builds the index of terms, and prints tables. It calls the use cases: no
HTTP, no proxy; answers are complete, with their entries.

    .venv/bin/python bench/audit_search.py [ENTRIES [ROUNDS]]      by default 1,000,000 entries, 30 rounds
"""

import itertools
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import psutil
import uvloop
from audit_events import configured, cpu_seconds

from quartet_audit.app import SERVICE
from quartet_audit.config import AuditConfig
from quartet_audit.entries import text_index_usecases
from quartet_audit.entries.entry_domain import Position, Search
from quartet_audit.entries.entry_usecases import find_entries
from quartet_audit.entries.filter_domain import read_filters
from quartet_audit.entries.histogram_parameters import HistogramSearch
from quartet_audit.entries.histogram_usecases import count_entries
from quartet_cli.stack import Stack
from quartet_common.core.errors import BadRequestError
from quartet_common.data.connections import connect_once
from quartet_common.runtime.container import AppContainer
from quartet_testing.faults import pids
from quartet_testing.services import run_service

TENANT = "bench"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = 3
"""Between two entries: 10,000,000 are of almost a year."""
CHUNK = 50_000
TARGETS = {1: 50, 2: 150}
"""The largest p99 in ms, by the number of filters."""

# Half of the entries are by one actor, one in a hundred is denied, one in 10,000 is about a role. Words: `rareword` in
# one of 50,000, `someword` in one of 500, `title` in all of them; `number<i>` in one.
NUMBERS = """
CREATE UNLOGGED TABLE numbered AS
SELECT i, uuid_send(gen_random_uuid()) AS random,
       (SELECT '2026-01-01T00:00:00Z'::timestamptz) + make_interval(secs => i * $3 + (i * 7919 % 60)) AS time,
       CASE WHEN i % 2 = 0 THEN 'okta' ELSE 'actor-' || (i * 31) % 1000 END AS actor,
       CASE WHEN i % 10000 = 77 THEN 'roles' WHEN i % 4 = 0 THEN 'groups' ELSE 'users' END AS kind,
       md5((i * 48271 % 200000)::text)::uuid::text AS resource, i * 37 % 8 AS verb,
       CASE WHEN i % 100 = 3 THEN 'denied' ELSE 'success' END AS outcome, md5((i / 3)::text) AS trace,
       CASE WHEN i % 3 = 0 THEN '192.0.2.7' WHEN i % 3 = 1 THEN '10.' || i * 13 % 256 || '.' || i * 7 % 256 || '.' ||
                i % 256 ELSE '2001:db8::' || to_hex(i % 65536) END AS address
FROM generate_series($1::bigint, $2::bigint) AS numbers (i)"""
ENTRIES = """
INSERT INTO entries (tenant_id, sequence, id, time, recorded_at, action, actor, resource_type, resource_id, outcome,
    facts, facts_salt)
SELECT $1::text, i, encode(random, 'hex')::uuid, time, time, kind || '.verb' || verb, actor, kind, resource, outcome,
       convert_to(format('{"id":"%s","sequence":%s,"time":"%s","recorded_time":"%s","tenant":"%s","action":"%s",'
           '"type":"quartet.%s.v1","actor":"%s","resource":{"type":"%s","id":"%s"},"outcome":"%s","trace_id":"%s"}',
           encode(random, 'hex')::uuid, i, to_char(time, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(time,
           'YYYY-MM-DD"T"HH24:MI:SS"Z"'), $1::text, kind || '.verb' || verb, kind || '.verb' || verb,
           actor, kind, resource, outcome, trace), 'UTF8'), sha256(random)
FROM numbered"""
PARTS = """
INSERT INTO personal_parts
SELECT $1::text, i,
       convert_to(format('{"actor_name":"%s@example.com","actor_type":"user"}', actor), 'UTF8'), sha256(random),
       convert_to(format('{"resource_name":"user-%s@example.com"}', i * 48271 % 200000), 'UTF8'), sha256(random),
       convert_to(format('{"source_address":"%s","user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko"}',
           address), 'UTF8'), sha256(random),
       convert_to(format('{"data":{"userName":"user-%s@example.com","changed":{"title":{"before":"Engineer %s","after":'
           '"Manager number%s"},"displayName":{"before":"Barbara Jensen %s","after":"Barbara Smith %s"},"department":'
           '{"before":"Sales %s","after":"Support %s"},"note":{"before":"%s","after":"%s"}}}}',
           i * 48271 % 200000, i % 50, i, i % 1000, i % 777, i % 20, i % 30, encode(random, 'hex'),
           CASE WHEN i % 50000 = 99 THEN 'rareword' WHEN i % 500 = 99 THEN 'someword' ELSE 'word' END), 'UTF8'),
       sha256(random)
FROM numbered"""
LOG = """
INSERT INTO logs (tenant_id, size, frontier) VALUES ($1, $2, decode(repeat('00', 32 * $3), 'hex'))
ON CONFLICT (tenant_id) DO UPDATE SET size = EXCLUDED.size, frontier = EXCLUDED.frontier"""
SIZES = """
SELECT relname, pg_indexes_size(oid) AS indexes, pg_table_size(oid) AS table FROM pg_class
WHERE relname IN ('entries', 'personal_parts', 'term_postings', 'term_blocks') AND relkind IN ('r', 'p') ORDER BY 1"""

Container = AppContainer[AuditConfig]


def singles(entries: int) -> dict[str, dict[str, str]]:
    """A common and a rare value of each filter."""
    resource, trace = 48271 * (entries // 2) % 200000, entries // 2 // 3
    middle = BEGIN + timedelta(seconds=SECONDS * entries / 3), BEGIN + timedelta(seconds=SECONDS * entries * 2 / 3)
    return {
        "no filter": {},
        "action": {"action": "users.verb3"},
        "action prefix": {"action": "users.*"},
        "actor of half": {"actor": "okta"},
        "rare actor": {"actor": "actor-31"},
        "resource": {"resource": _md5_uuid(resource)},
        "outcome denied": {"outcome": "denied"},
        "outcome success": {"outcome": "success"},
        "time": {"from": middle[0].isoformat(), "to": middle[1].isoformat()},
        "type users": {"resource_type": "users"},
        "type roles": {"resource_type": "roles"},
        "type nobody": {"resource_type": "nobody"},
        "address common": {"address": "192.0.2.7"},
        "address rare": {"address": "10.13.7.1"},
        "network /16": {"address": "10.13.0.0/16"},
        "network /20": {"address": "10.13.16.0/20"},
        "network /32 v6": {"address": "2001:db8::/32"},
        "trace id": {"trace_id": _md5(trace)},
        "text of all": {"text": "title"},
        "text 1 in 2": {"text": "okta"},
        "text 1 in 500": {"text": "someword"},
        "text rare": {"text": "rareword"},
        "text of one": {"text": f"number{entries // 2}"},
        "text two words": {"text": "someword okta"},
        "text of none": {"text": "nothing"},
    }


def _md5(number: int) -> str:
    from hashlib import md5  # the log's ids are made by PostgreSQL's md5

    return md5(str(number).encode(), usedforsecurity=False).hexdigest()


def _md5_uuid(number: int) -> str:
    text = _md5(number)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


async def fill(container: Container, entries: int) -> None:
    """A log of `entries`, without leaves."""
    begun = time.perf_counter()
    connection = await connect_once(container.config)  # outside the pool: no statement timeout applies
    try:
        await connection.execute("SET synchronous_commit = off")
        for first in range(0, entries, CHUNK):
            last = min(entries, first + CHUNK) - 1
            await connection.execute(NUMBERS, first, last, SECONDS)
            await connection.execute(ENTRIES, TENANT)
            await connection.execute(PARTS, TENANT)
            await connection.execute("DROP TABLE numbered")
        await connection.execute(LOG, TENANT, entries, entries.bit_count())
        await connection.execute("VACUUM ANALYZE entries, personal_parts")
    finally:
        await connection.close()
    print(f"filled with {entries:,} entries in {time.perf_counter() - begun:.0f} s; load {os.getloadavg()[0]:.1f}")


async def build(container: Container, stack: Stack, entries: int) -> None:
    """The index of terms, with what it costs."""
    processes = psutil.Process(), psutil.Process(pids(stack)["postgres"])
    begun, spent = time.perf_counter(), [cpu_seconds(one) for one in processes]
    text_index_usecases.PAUSE = 0.0
    await text_index_usecases.index_all(container)
    seconds = time.perf_counter() - begun
    each = [(cpu_seconds(one) - old) / entries * 1e6 for one, old in zip(processes, spent, strict=True)]
    async with container.database.connection() as connection:
        await connection.execute("VACUUM ANALYZE term_postings, term_blocks", timeout=1200)
        sizes = await connection.fetch(SIZES)
    print(
        f"index of terms: {entries / seconds:,.0f} entries/s; us of CPU each: Python {each[0]:.0f}, "
        f"PostgreSQL {each[1]:.0f}"
    )
    for row in sizes:
        print(
            f"{row['relname']:16} {row['table'] / entries:6.0f} bytes an entry, indexes {row['indexes'] / entries:6.0f}"
        )


async def measure(rounds: int, question: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """p50 and p99 in ms."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await question()
        times.append((time.perf_counter() - begun) * 1000)
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]


async def deepest(container: Container, search: Search) -> Position | None:
    """Where the last page begins, newest first: some 40 matches before the end."""
    oldest = replace(search, newest_first=False, limit=40)
    _, position = await find_entries(container, TENANT, oldest)
    return position


async def measure_search(container: Container, name: str, query: Mapping[str, str], entries: int, rounds: int) -> bool:
    """First, middle and deepest page of one question; whether all are within the target."""
    search = read_filters(query)
    middle = Position(BEGIN + timedelta(seconds=SECONDS * entries / 2), 0)
    deep = await deepest(container, search)
    pages = {"first": search, "middle": search.beyond(middle), "deepest": search.beyond(deep) if deep else search}
    figures, is_within = [], True
    for one in pages.values():
        found, following = await find_entries(container, TENANT, one)
        p50, p99 = await measure(rounds, partial(find_entries, container, TENANT, one))
        is_within &= p99 <= TARGETS.get(len(query), 150)
        figures.append(f"{p50:7.1f} {p99:7.1f} {len(found):3}{'+' if following else ' '}")
    print(f"{name:34} {' |'.join(figures)} {'' if is_within else ' ABOVE THE TARGET'}", flush=True)
    return is_within


async def main(entries: int, rounds: int) -> None:
    """Run everything."""
    with configured() as (stack, _, owner):
        async with run_service(SERVICE, owner) as service:
            container = service.container
            await fill(container, entries)
            await build(container, stack, entries)
            await measure_all(container, entries, rounds)


async def measure_histograms(container: Container, entries: int, rounds: int) -> None:
    """Histograms of the last 300,000 entries, and of all if they are not too many."""
    end = BEGIN + timedelta(seconds=SECONDS * entries + 60)
    starts = {"300,000": end - timedelta(seconds=SECONDS * 300_000), "all": BEGIN}
    queries = {"": {}, "outcome=denied": {"outcome": "denied"}, "text=rareword": {"text": "rareword"}}
    for (size, start), (name, query), dimension in itertools.product(
        starts.items(), queries.items(), (None, "action", "actor")
    ):
        search = read_filters({**query, "from": start.isoformat(), "to": end.isoformat()})
        asked = HistogramSearch(search, "day", dimension)
        try:
            p50, p99 = await measure(rounds, partial(count_entries, container, TENANT, asked))
            print(f"histogram of {size} {name}, by {dimension}: p50 {p50:.0f}, p99 {p99:.0f}", flush=True)
        except BadRequestError as error:
            print(f"histogram of {size} {name}, by {dimension}: {error.detail}")


async def measure_all(container: Container, entries: int, rounds: int) -> None:
    """All filters, and all pairs of filters of different kinds."""
    print(f"ms; {rounds} rounds; load {os.getloadavg()[0]:.1f}")
    print(f"{'p50, p99, entries of the page':34} {'first':>18} | {'middle':>18} | {'deepest':>18}")
    known = singles(entries)
    for name, query in known.items():
        await measure_search(container, name, query, entries, rounds)
    await measure_histograms(container, entries, max(2, rounds // 6))
    above = 0
    print(f"pairs; load {os.getloadavg()[0]:.1f}")
    for (one, first), (other, second) in itertools.combinations(known.items(), 2):
        if first and second and not first.keys() & second.keys():
            is_within = await measure_search(container, f"{one} + {other}", {**first, **second}, entries, rounds // 3)
            above += not is_within
    print(f"pairs above the target: {above}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    uvloop.run(main(*given, *(1_000_000, 30)[len(given) :]))
