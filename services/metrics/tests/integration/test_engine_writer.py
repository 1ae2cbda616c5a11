"""The copies in the engine: what changed, late events, crashes of the engine, the loss of its data, deleted tenants."""

import asyncio
import json
import os
import shutil
import signal
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from quartet_cli.errors import QuartetError
from quartet_cli.stack import Stack
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime import tenant_deletion
from quartet_metrics.engine import engine_client, engine_store
from quartet_metrics.engine.engine_client import EngineClient
from quartet_metrics.engine.engine_domain import MARK, SETTLED
from quartet_metrics.engine.engine_usecases import EngineWriter, read_state, rebuild
from quartet_metrics.prometheus.prometheus_parameters import read_instant, read_selection
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries
from quartet_metrics.series import series_store
from quartet_metrics.series.catalog_domain import DAILY_USERS, EVENTS, USERS
from quartet_metrics.series.series_domain import Place, SeriesKey
from quartet_testing.conditions import eventually
from quartet_testing.faults import pids
from quartet_testing.services import RunningService, new_tenant

WAITS = "SELECT count(*) FROM engine_rewrites WHERE tenant_id = $1 AND due_at < now() + interval '10 seconds'"
DUE = "UPDATE engine_rewrites SET due_at = now() + $2::interval WHERE tenant_id = $1"
LONG_AGO = "UPDATE deleted_tenants SET deleted_at = now() - interval '1 hour' WHERE tenant_id = $1"
ERASED_BEFORE = "UPDATE engine_erased SET erased_at = now() - interval '1 hour' WHERE tenant_id = $1"
HELD = """
SELECT count(*) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND application_name = 'quartet-metrics'
AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)"""
"""How many transactions have written something, or see a moment of the past."""
TURNS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid != pg_backend_pid()"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def this_minute() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


class Copied:
    """A tenant whose series are counted in PostgreSQL, copied, and read from the engine."""

    def __init__(self, metrics: RunningService) -> None:
        self.metrics = metrics
        self.tenant = new_tenant()
        self.writer = EngineWriter(metrics.container)
        self.queries = PrometheusQueries(metrics.container)

    def events(self, kind: str = "users.user.created") -> SeriesKey:
        return SeriesKey(self.tenant, EVENTS.name, (kind, "success"))

    async def count(self, amounts: dict[tuple[SeriesKey, datetime], int], days: Any = None) -> None:
        counted = Counter({Place(key, start): amount for (key, start), amount in amounts.items()})
        daily = Counter({Place(key, start): amount for (key, start), amount in (days or {}).items()})
        async with self.metrics.container.database.transaction() as connection:
            await series_store.add_amounts(connection, counted, daily)

    async def write(self) -> None:
        """Until nothing is left to write."""

        async def is_written() -> bool:
            try:
                await self.writer.run()
            except UnavailableError:
                return False
            async with self.metrics.container.database.connection() as connection:
                left = await engine_store.read_changed(connection, datetime.now(UTC), 1)
                due = await connection.fetchval(WAITS, self.tenant)
            return not left and not due

        await eventually(is_written, "the engine has everything", 60)

    async def value(self, query: str, at: datetime | None = None) -> float | None:
        """The value of a query that has one result or none."""
        given = {"query": [query]} | ({} if at is None else {"time": [at.isoformat().replace("+00:00", "Z")]})
        found = json.loads(await self.queries.evaluate(self.tenant, "query", read_instant(given)))["data"]["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    async def shows(self, query: str, expected: float | None, at: datetime | None = None) -> None:
        async def is_shown() -> bool:
            return await self.value(query, at) == expected

        try:
            await eventually(is_shown, query, 15)
        except AssertionError:
            pytest.fail(f"{query} is {await self.value(query, at)}, not {expected}")


@pytest.fixture
def copied(metrics: RunningService, engine: str) -> Copied:
    return Copied(metrics)


async def test_values_are_in_the_engine_as_they_are_counted(copied: Copied) -> None:
    now, users = this_minute(), SeriesKey(copied.tenant, USERS.name, ("active",))
    days = {(SeriesKey(copied.tenant, DAILY_USERS.name, ()), now.replace(hour=0, minute=0)): 4}
    await copied.count({(copied.events(), now): 3_000, (copied.events("x"), now): 1, (users, now): 9}, days)
    await copied.write()
    await copied.shows("sum(quartet_events_total)", 3_001)
    await copied.shows("sum by (outcome) (increase(quartet_events_total[1h]))", 3_001)
    await copied.count({(copied.events(), now): 7, (users, now): -2})
    await copied.write()
    await copied.write()
    await copied.shows('quartet_events_total{type="users.user.created",outcome="success"}', 3_007)
    await copied.shows('increase(quartet_events_total{type="users.user.created"}[1h])', 3_007)
    await copied.shows('quartet_users{state="active"}', 7)
    await copied.shows("quartet_daily_active_users", 4)


async def test_late_events_are_written_again_in_their_own_minutes(copied: Copied) -> None:
    now, key = this_minute(), copied.events()
    await copied.count({(key, now - 2 * HOUR): 5, (key, now - HOUR): 2})
    await copied.write()
    await copied.count({(key, now - 3 * HOUR): 11})
    await copied.write()
    async with copied.metrics.container.database.transaction() as connection:
        due = await connection.fetchval("SELECT due_at FROM engine_rewrites WHERE tenant_id = $1", copied.tenant)
        assert timedelta() < due - datetime.now(UTC) <= MINUTE
        await connection.execute(DUE, copied.tenant, SETTLED)
    await copied.write()
    await copied.shows("sum(quartet_events_total)", 18)
    for hours, expected in ((3, 11), (2, 16), (1, 18)):
        await copied.shows("sum(quartet_events_total)", expected, now - hours * HOUR + MINUTE)
    await copied.shows("sum(increase(quartet_events_total[4h]))", 18)
    await copied.shows("sum(increase(quartet_events_total[10m]))", 5, now - 2 * HOUR + 5 * MINUTE)
    async with copied.metrics.container.database.connection() as connection:
        rewritten = await connection.fetchval(
            "SELECT rewritten_at FROM engine_rewritten WHERE tenant_id = $1", copied.tenant
        )
    assert timedelta() <= datetime.now(UTC) - rewritten < 5 * MINUTE


async def test_an_engine_without_the_mark_gets_it_after_it_is_known_that_all_series_are_written_again(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that finds the mark knows which series may still be missing."""
    await copied.count({(copied.events(), this_minute()): 1})
    await copied.write()
    known: list[int] = []
    write = EngineClient.write

    async def observed(client: EngineClient, lines: bytes) -> None:
        if MARK.encode() in lines:
            async with copied.metrics.container.database.connection() as connection:
                known.append(await connection.fetchval(WAITS, copied.tenant))
        await write(client, lines)

    async def has_none(_: EngineWriter) -> bool:
        return False

    monkeypatch.setattr(EngineClient, "write", observed)
    monkeypatch.setattr(EngineWriter, "_has_mark", has_none)
    await EngineWriter(copied.metrics.container).run()
    assert known == [1]


async def test_figures_are_exact_after_crashes_of_the_engine_and_the_loss_of_its_data(
    copied: Copied, servers: Stack
) -> None:
    now, key, total = this_minute(), copied.events(), 0
    data = servers.home.data / "victoria-metrics"
    for turn in range(12):
        await copied.count({(key, now - 90 * MINUTE + turn * MINUTE): turn + 1})
        total += turn + 1
        if turn % 3 == 0:
            with suppress(QuartetError):  # it has not come back from the kill before
                servers.kill("victoria-metrics")
        if turn == 7:
            await asyncio.to_thread(servers.stop, "victoria-metrics")
            for path in data.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            await asyncio.to_thread(servers.start, "victoria-metrics")
        copied.writer = EngineWriter(copied.metrics.container)  # a worker that was killed has forgotten all
        try:
            await copied.writer.run()
        except UnavailableError:
            continue
    async with copied.metrics.container.database.transaction() as connection:
        await connection.execute(DUE, copied.tenant, SETTLED)
    copied.writer = EngineWriter(copied.metrics.container)
    await copied.write()
    await copied.shows("sum(quartet_events_total)", total)
    await copied.shows("sum(increase(quartet_events_total[2h]))", total)
    for turn in range(12):
        at = now - 89 * MINUTE + turn * MINUTE
        await copied.shows("sum(increase(quartet_events_total[1m]))", turn + 1, at)


async def test_what_changes_while_it_is_written_is_written_by_the_next_run(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the count of an event wait for the engine: the writer has no locks of rows and no snapshot then."""
    now, key, busy = this_minute(), copied.events(), []
    await copied.count({(key, now - HOUR): 1})
    await copied.write()
    async with copied.metrics.container.database.transaction() as connection:
        await connection.execute(DUE, copied.tenant, timedelta())  # the late series is also written from the beginning
    engine = copied.writer._engine
    write, other = engine.write, EngineWriter(copied.metrics.container)

    async def count_and_write(lines: bytes) -> None:
        async with copied.metrics.container.database.connection() as connection:
            busy.append(await connection.fetchval(HELD))
        await asyncio.wait_for(copied.count({(key, now): 100}), 5)
        await other.run()  # it is not its turn: else it would write, and mark
        await write(lines)

    await copied.count({(key, now): 10})
    monkeypatch.setattr(engine, "write", count_and_write)
    copied.writer._last_full = None
    await copied.writer.run()
    monkeypatch.undo()
    assert (len(busy) >= 3, set(busy)) == (True, {0}), busy
    async with copied.metrics.container.database.connection() as connection:
        left = await engine_store.read_changed(connection, datetime.now(UTC), 1000)
    assert copied.tenant in {one.changed.tenant for one in left}
    await copied.write()
    await copied.shows("sum(quartet_events_total)", 11 + 100 * len(busy))


async def test_events_are_counted_and_written_later_while_the_engine_does_not_answer(
    copied: Copied, servers: Stack
) -> None:
    """The writer waits for it with one connection of the pool, without locks of rows and without a snapshot; another
    worker does not wait for the writer.
    """
    now, key, database = this_minute(), copied.events(), copied.metrics.container.database
    await copied.count({(key, now): 1})
    await copied.write()
    await copied.count({(key, now): 2})
    taken, engine = database.taken, pids(servers)["victoria-metrics"]
    os.kill(engine, signal.SIGSTOP)
    try:
        waiting = asyncio.ensure_future(copied.writer.run())

        async def is_waiting() -> bool:
            async with database.connection() as connection:
                return bool(await connection.fetchval(TURNS)) and not await connection.fetchval(HELD)

        await eventually(is_waiting, "the writer waits for the engine", 10)
        for amount in (30, 400):
            await asyncio.wait_for(copied.count({(key, now): amount}), 5)
            await asyncio.wait_for(EngineWriter(copied.metrics.container).run(), 5)
        assert (waiting.done(), database.taken - taken) == (False, 1)
    finally:
        os.kill(engine, signal.SIGCONT)
    await waiting
    await copied.write()
    await copied.shows("sum(quartet_events_total)", 433)
    await copied.shows("sum(increase(quartet_events_total[1h]))", 433)


async def test_a_writer_gives_its_turn_back_when_the_engine_does_not_answer_in_time(
    copied: Copied, servers: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_client, "WRITE_TIMEOUT", httpx.Timeout(0.2))
    await copied.count({(copied.events(), this_minute()): 1})
    await copied.write()
    await copied.count({(copied.events(), this_minute()): 1})
    engine = pids(servers)["victoria-metrics"]
    os.kill(engine, signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError):
            await copied.writer.run()
        async with copied.metrics.container.database.connection() as connection:
            assert await connection.fetchval(TURNS) == 0
    finally:
        os.kill(engine, signal.SIGCONT)
    await copied.write()
    await copied.shows("sum(quartet_events_total)", 2)


async def test_a_rebuild_writes_everything_again_and_says_how_much_waits(copied: Copied) -> None:
    now = this_minute()
    await copied.count({(copied.events(), now - HOUR): 6})
    await copied.write()
    state = await rebuild(copied.metrics.container)
    assert state.waiting >= state.series > 0
    await copied.write()
    assert (await read_state(copied.metrics.container)).waiting < state.waiting
    await copied.shows("sum(quartet_events_total)", 6, now - HOUR + MINUTE)
    await copied.shows("sum(increase(quartet_events_total[2h]))", 6)


MARKED = 7_777_777
"""A value that only one tenant has."""


async def delete(copied: Copied) -> None:
    async with copied.metrics.container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, copied.tenant)


async def is_erased(copied: Copied) -> bool:
    async with copied.metrics.container.database.connection() as connection:
        query = "SELECT EXISTS (SELECT FROM engine_erased WHERE tenant_id = $1)"
        return bool(await connection.fetchval(query, copied.tenant))


async def is_gone(copied: Copied) -> bool:
    """Whether the engine has no series of the tenant, and nobody finds its value, now or in the past."""
    copied.writer = EngineWriter(copied.metrics.container)  # as after a minute
    with suppress(UnavailableError):
        await copied.writer.run()
    everything = read_selection({"match[]": ['{__name__!=""}']})
    series = json.loads(await copied.queries.find_series(copied.tenant, everything))["data"]
    past = await copied.value('count(last_over_time({__name__!=""}[1d]))')
    engine = EngineClient(copied.metrics.container.config, lambda: copied.metrics.container.http)
    form = {"query": f"last_over_time(quartet_events_total[1d]) == {MARKED}", "nocache": "1"}
    found = await engine.ask("query", form, copied.tenant)
    marked = json.loads(found.body)["data"]["result"]
    return not series and past is None and not marked


async def test_the_series_of_a_deleted_tenant_are_deleted_and_not_written_again(copied: Copied) -> None:
    kept = Copied(copied.metrics)
    for one in (copied, kept):
        await one.count({(one.events(), this_minute() - HOUR): MARKED - 1, (one.events(), this_minute()): 1})
        await one.write()
        await one.shows("sum(quartet_events_total)", MARKED)
    await delete(copied)

    async def probe() -> bool:
        return await is_erased(copied) and await is_gone(copied)

    with pytest.raises(AssertionError, match="not within"):
        await eventually(probe, "what was written may not be found yet", 1)
    await eventually(lambda: is_gone(copied), "the series are gone", 30)
    assert await is_erased(copied)
    await copied.writer.run()
    assert await is_gone(copied)
    await kept.shows("sum(quartet_events_total)", MARKED)


async def test_a_tenant_that_is_deleted_while_the_engine_is_away_is_deleted_when_it_is_back(
    copied: Copied, servers: Stack
) -> None:
    await copied.count({(copied.events(), this_minute() - HOUR): MARKED - 1, (copied.events(), this_minute()): 1})
    await copied.write()
    await copied.shows("sum(quartet_events_total)", MARKED)
    await asyncio.to_thread(servers.stop, "victoria-metrics")
    try:
        await delete(copied)
        async with copied.metrics.container.database.transaction() as connection:
            await connection.execute(LONG_AGO, copied.tenant)
        copied.writer = EngineWriter(copied.metrics.container)
        with pytest.raises(UnavailableError):
            await copied.writer.run()
        assert not await is_erased(copied)
    finally:
        await asyncio.to_thread(servers.start, "victoria-metrics")
    await eventually(lambda: is_gone(copied), "the series are gone", 30)
    assert await is_erased(copied)
    servers.kill("victoria-metrics")  # which may undo the deletion
    async with copied.metrics.container.database.transaction() as connection:
        await connection.execute(ERASED_BEFORE, copied.tenant)

    async def is_gone_again() -> bool:
        with suppress(UnavailableError):
            return await is_gone(copied)
        return False

    await eventually(is_gone_again, "the series are gone after a crash", 60)
    async with copied.metrics.container.database.connection() as connection:
        passes = await connection.fetchval("SELECT passes FROM engine_erased WHERE tenant_id = $1", copied.tenant)
    assert passes == 2
