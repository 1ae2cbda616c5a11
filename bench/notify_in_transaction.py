"""Commits per second with the relay's NOTIFY inside each writing transaction, and with one shared NOTIFY after them.

Run: .venv/bin/python bench/notify_in_transaction.py
It starts servers of its own, lets 16 writers work for 4 s a round, alternates the two ways three times, and prints each
round and the ratio of the medians. The figures stand in docs/decisions/0001-notify-after-commit.md.
"""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.config import read_config
from quartet_common.database import Database, open_database
from quartet_common.ids import utc_now
from quartet_common.messaging import outbox
from quartet_common.messaging.outbox import Caller, DomainEvent
from quartet_common.outbox_waker import outbox_channel
from quartet_common.process import prepare
from quartet_users.app import SERVICE
from quartet_users.config import UsersConfig

WRITERS = 16
SECONDS = 4.0
ROUNDS = 3
CALLER = Caller("bench", "bench")


async def write(database: Database, inside: bool, until: float) -> int:
    """Commit outbox rows until the time is over; return how many."""
    done = 0
    while time.perf_counter() < until:
        event = DomainEvent("users.user.created.v1", f"users/{done}", 1, {})
        if inside:
            async with database.pool.acquire() as own, own.transaction():
                await outbox.add(own, CALLER, [event], now=utc_now(), service="users")
                await own.execute("SELECT pg_notify($1, '')", outbox_channel("users"))
        else:
            async with database.transaction() as connection:
                await outbox.add(connection, CALLER, [event], now=utc_now(), service="users")
        done += 1
    return done


async def measure(database: Database, inside: bool) -> float:
    """Commits per second of one round."""
    until = time.perf_counter() + SECONDS
    return sum(await asyncio.gather(*(write(database, inside, until) for _ in range(WRITERS)))) / SECONDS


async def run() -> None:
    """Alternate the two ways and print what they give."""
    config = read_config(UsersConfig).model_copy(update={"database_pool_max": WRITERS + 1})
    await prepare(SERVICE, config)
    database = await open_database(config)
    results: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for inside in (True, False):
            rate = await measure(database, inside)
            results[inside].append(rate)
            print(f"{'NOTIFY inside' if inside else 'NOTIFY after '} {rate:8.0f} commits/s")
    await database.close()
    ratio = statistics.median(results[False]) / statistics.median(results[True])
    print(f"after / inside = {ratio:.2f}")


def main() -> None:
    """Start servers, measure, stop them."""
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), temporary=True)
        try:
            stack.start_servers()
            os.environ.update(stack.environment("users", "api"))
            asyncio.run(run())
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    main()
