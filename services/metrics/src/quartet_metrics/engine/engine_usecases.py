"""The writer: copies the values of series into the engine, and writes late or lost ones again from PostgreSQL."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.core.schedule import Schedule
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_metrics.config import MetricsConfig
from quartet_metrics.engine import engine_store
from quartet_metrics.engine.engine_client import EngineClient
from quartet_metrics.engine.engine_domain import (
    DAILY,
    MARK,
    MINUTE,
    Sample,
    beginning,
    daily_history,
    history,
    labels_of,
    line_of,
    mark,
    rewrite_due,
    selector_of,
    tenant_filter,
)
from quartet_metrics.queries.query_domain import Kept
from quartet_metrics.series import series_store
from quartet_metrics.series.catalog_domain import METRICS
from quartet_metrics.series.series_domain import SeriesKey
from quartet_metrics.series.series_store import ChangedSeries

logger = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two looks for changed series."""
BATCH = 2000
"""Series of one import of present values."""
REWRITES = 20
"""Series that are written again at a time: each may have some ten thousand samples."""
TENANTS = 50


@dataclass(frozen=True)
class EngineState:
    """How many series there are, and how many of them wait to be written again; None: there is no engine."""

    series: int
    waiting: int
    is_configured: bool


class EngineWriter:
    """Writes values with the present time, since the engine cannot replace a sample.

    A run writes what has changed; each minute all series, so that none ends, and a loss of the last samples at a crash
    of the engine heals. An engine without its mark is filled from PostgreSQL. One worker writes at a time: it holds a
    lock, in a transaction that does nothing else. Series are read and marked in short transactions of their own, so
    that none waits for the engine, and no event waits for a row.
    """

    def __init__(self, container: AppContainer[MetricsConfig]) -> None:
        self._container = container
        self._engine = EngineClient(container.config, lambda: container.http)
        self._last_full: datetime | None = None

    async def run(self) -> None:
        """Write what has changed. Raises UnavailableError; the next run tries again."""
        if not self._engine.is_configured:
            return
        async with self._container.database.transaction() as turn:
            if not await engine_store.take_turn(turn):
                return
            now = self._container.clock()
            if self._last_full is None or now - self._last_full >= MINUTE:
                await self._write_all(now)
                self._last_full = now
            await self._write_changed()
            await self._rewrite()

    async def _write_all(self, now: datetime) -> None:
        """All values, and deletions; an engine without the mark gets everything again."""
        database = self._container.database
        await self._erase_tenants()
        if not await self._has_mark():
            logger.warning("the engine of metrics is new or has lost its data: it is filled from PostgreSQL")
            async with database.transaction() as connection:  # committed before the mark says that all is well
                await engine_store.schedule_all(connection, now)
        after = ("", -(2**63))
        while some := await self._read_all(now, after):
            await self._write_present(some)
            after = (some[-1].changed.tenant, some[-1].changed.series)
        await self._engine.write(mark(self._container.clock()))

    async def _read_all(self, now: datetime, after: tuple[str, int]) -> list[engine_store.Present]:
        async with self._container.database.connection() as connection:
            return await engine_store.read_all(connection, now, BATCH, after)

    async def _write_changed(self) -> None:
        """What changes while it is written stays changed: the next run writes it."""
        now, database = self._container.clock(), self._container.database
        async with database.connection() as connection:
            some = await engine_store.read_changed(connection, now, BATCH)
        if not some:
            return
        await self._write_present(some)
        changed = [one.changed for one in some]
        due = [(one, at) for one in changed if (at := rewrite_due(one.metric, one.changed_from, now)) is not None]
        async with database.transaction() as connection:
            await engine_store.schedule_rewrites(connection, due)
            await engine_store.mark_written(connection, changed)

    async def _write_present(self, some: Sequence[engine_store.Present]) -> None:
        now = (
            self._container.clock()
        )  # after the values were read: samples of one series are in the order of their reading
        lines = [
            line_of(labels_of(_key(one.changed)), [*_beginning(one), Sample(now, one.value)])
            for one in some
            if one.changed.metric in METRICS
        ]
        await self._engine.write(b"\n".join(lines))

    async def _rewrite(self) -> None:
        """Delete the samples of some series, and write them again as PostgreSQL has them."""
        now, database = self._container.clock(), self._container.database
        async with database.snapshot() as connection:
            due = [one for one in await engine_store.read_due(connection, now, REWRITES) if one.metric in METRICS]
            lines = await self._history_lines(connection, due, now)
        if not due:
            return
        await self._engine.delete([selector_of(_key(one)) for one in due])
        await self._engine.write(b"\n".join(lines))
        async with database.transaction() as connection:
            await engine_store.mark_rewritten(connection, due, self._container.clock())

    async def _history_lines(self, connection: Connection, due: Sequence[ChangedSeries], now: datetime) -> list[bytes]:
        config = self._container.config
        kept = Kept.at(now, config.minute_days, config.hour_days)
        sums = [one for one in due if one.metric not in DAILY]
        values = await series_store.read_values(connection, sums, kept.minutes_from, kept.hours_from)
        lines = []
        for one, found in zip(sums, values, strict=True):
            samples = history(found, now, kept.minutes_from, kept.hours_from)
            present = [Sample(now, found[-1].value)] if found else []
            lines.append(line_of(labels_of(_key(one)), [*samples, *present]))
        for one in (one for one in due if one.metric in DAILY):
            days = await series_store.read_days(connection, one, now)
            lines.append(line_of(labels_of(_key(one)), daily_history([Sample(*day) for day in days], now)))
        return lines

    async def _has_mark(self) -> bool:
        found = await self._engine.ask("query", {"query": f"last_over_time({MARK}[1d])"}, SYSTEM_TENANT)
        return bool(msgspec.json.decode(found.body)["data"]["result"])

    async def _erase_tenants(self) -> None:
        now, database = self._container.clock(), self._container.database
        async with database.connection() as connection:
            tenants = await engine_store.read_deleted_tenants(connection, now, TENANTS)
        if tenants:
            await self._engine.delete([tenant_filter(tenant) for tenant in tenants])
            async with database.transaction() as connection:
                await engine_store.mark_erased(connection, tenants, now)


def _beginning(one: engine_store.Present) -> list[Sample]:
    return beginning(one.changed.metric, one.changed.changed_from) if one.is_new else []


def _key(series: ChangedSeries) -> SeriesKey:
    return SeriesKey(series.tenant, series.metric, series.labels)


def writing(container: AppContainer[MetricsConfig]) -> Schedule:
    """The schedule by which a worker writes to the engine. A worker is ready without it: nothing else depends on it."""
    return Schedule("engine-write", INTERVAL, EngineWriter(container).run)


async def rebuild(container: AppContainer[MetricsConfig]) -> EngineState:
    """Have the worker write everything again from PostgreSQL. Raises UnavailableError without an engine."""
    client = EngineClient(container.config, lambda: container.http)
    client.require()
    async with container.database.transaction() as connection:
        await engine_store.schedule_all(connection, container.clock())
    return await read_state(container)


async def read_state(container: AppContainer[MetricsConfig]) -> EngineState:
    """How much waits to be written again."""
    async with container.database.connection() as connection:
        series, waiting = await engine_store.read_waiting(connection, container.clock())
    return EngineState(series, waiting, container.config.metrics_engine_url is not None)
