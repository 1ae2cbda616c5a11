"""Compares the gauges of a tenant with users, groups and audit, on demand and each night; notes and corrects drift.

snapshot of metrics: the gauges and the ids of the last applied events
-> each service, in one later snapshot: its totals, and the events that are part of them and were not applied
-> the gauges should be the totals without what these events add. Nothing has to wait, so it is exact while all count.

Events that were published longer ago than WINDOW must have been applied: the queues are checked first, and the tenant
may have no dead letters.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.errors import ServiceError, UnavailableError
from quartet_common.core.schedule import Schedule
from quartet_common.data.connections import Connection
from quartet_common.messaging import dead_letter_store
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_metrics.config import MetricsConfig
from quartet_metrics.reconciliation import queue_client, reconciliation_store
from quartet_metrics.reconciliation.reconciliation_domain import (
    COMPARED,
    Compared,
    Comparison,
    Gauge,
    Tenant,
    expected,
    night_at,
    of_dead_letters,
    steady,
)
from quartet_metrics.reconciliation.reconciliation_events import drift_detected, drift_repaired
from quartet_metrics.reconciliation.reconciliation_store import Moment
from quartet_metrics.reconciliation.source_client import SourceClient, make_clients
from quartet_metrics.series import series_store
from quartet_metrics.series.catalog_domain import DRIFT
from quartet_metrics.series.series_domain import Place, SeriesKey

logger = logging.getLogger(__name__)

COMPARISONS = 3
"""A drift is noted if it is the same in so many comparisons."""
PAUSE = 1.0
"""Seconds between them."""
ATTEMPTS = 3
LOOKED_FOR = 30.0
"""Seconds for which a look at the queues is enough for a comparison that finds no drift; less than WINDOW."""
INTERVAL = 300.0
"""Seconds between two looks at night for tenants that were not compared yet."""
AT_ONCE = 1000
"""Tenants of one look."""


class ComparedMeanwhileError(ServiceError):
    """409: others compare the same tenant all the time."""

    def __init__(self, tenant: str) -> None:
        super().__init__(409, "compared_meanwhile", f"{tenant} was compared or imported meanwhile. Try again.")


@dataclass(frozen=True)
class Result:
    """What a comparison has found; `problems` are those that kept gauges from being compared."""

    tenant: str
    revision: int
    compared: Comparison = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    is_repaired: bool = False

    @property
    def has_drift(self) -> bool:
        """Whether a gauge differs."""
        return any(one.drift for one in self.compared.values())


class Reconciler:
    """Compares one tenant at a time."""

    def __init__(self, container: AppContainer[MetricsConfig]) -> None:
        self._container = container
        self._sources = make_clients(container)
        self._looked_at = float("-inf")
        self._waiting: dict[str, str | None] = {}

    async def reconcile(self, tenant: str, *, repair: bool = False) -> Result:
        """Compare `tenant`, note what differs, and with `repair` correct it.

        Raises UnavailableError (503) without PostgreSQL or RabbitMQ, ComparedMeanwhileError (409).
        """
        for _ in range(ATTEMPTS):
            result = await self._compare_steadily(tenant)
            if await self._note(result, repair=repair):
                return Result(result.tenant, result.revision, result.compared, result.problems, repair)
        raise ComparedMeanwhileError(tenant)

    async def _compare_steadily(self, tenant: str) -> Result:
        """A comparison; if gauges differ, only those that differ by the same in all of COMPARISONS."""
        results = [await self._compare(tenant, LOOKED_FOR)]
        while results[-1].has_drift and len(results) < COMPARISONS:
            await asyncio.sleep(PAUSE)
            results.append(await self._compare(tenant, 0))
        last = results[-1]
        compared = steady(one.compared for one in results)
        moving = tuple(
            f"the drift of {gauge.metric} changes from one comparison to the next: compare again later"
            for gauge in last.compared.keys() - compared.keys()
        )
        return Result(tenant, last.revision, compared, (*last.problems, *moving))

    async def _compare(self, tenant: str, max_age: float) -> Result:
        waiting = await self._look(max_age)
        compared: dict[Gauge, Compared] = {}
        problems = [problem for problem in waiting.values() if problem is not None]
        async with self._container.database.separate_snapshot(self._container.config) as connection:
            moment = await reconciliation_store.read_moment(connection, tenant)
            letters = await dead_letter_store.count_of(connection, tenant, "metrics")
            if letters:
                problems.append(f"metrics {of_dead_letters(letters)}")
            for name, source in self._sources.items():
                if letters or waiting["metrics"] is not None or waiting.get(name) is not None:
                    continue
                try:
                    exists = await self._ask(connection, tenant, source, moment)
                except UnavailableError as error:
                    problems.append(error.detail)
                else:
                    compared |= {gauge: Compared(moment.counted[gauge], exists[gauge]) for gauge in COMPARED[name]}
        return Result(tenant, moment.revision, compared, tuple(problems))

    async def _look(self, max_age: float) -> Mapping[str, str | None]:
        """What keeps each consumer from having got all events, as of at most `max_age` seconds ago."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at > max_age or any(self._waiting.values()):
            broker = self._container.broker
            self._waiting = {name: await queue_client.find_waiting(broker, name) for name in self._consumers}
            self._looked_at = now
        return self._waiting

    @property
    def _consumers(self) -> tuple[str, ...]:
        """Who must have got the events: audit counts what it has got."""
        return ("metrics", "audit") if "audit" in self._sources else ("metrics",)

    async def _ask(
        self, connection: Connection, tenant: str, source: SourceClient, moment: Moment
    ) -> Mapping[Gauge, int]:
        """What a service has, without what was not applied in the snapshot of `connection`."""
        caller = Caller.service(tenant, self._container.config.client_id)
        found = await source.read_totals(caller, moment.since, moment.applied)
        ids: set[UUID] = {*(event.id for event in found.events), *found.recorded}
        applied = await reconciliation_store.find_applied(connection, tenant, ids)
        pending = [event for event in found.events if event.id not in applied]
        return expected(found.totals, pending, len({*found.recorded} - applied))

    async def _note(self, result: Result, *, repair: bool) -> bool:
        """Note the drifts, with an event for each that is new, and correct them with `repair`; False if another
        comparison came between.
        """
        caller = Caller.service(result.tenant, self._container.config.client_id)
        async with unit_of_work(self._container, caller) as work:
            if not result.compared:
                return True
            compared_at = None if result.problems else work.now()
            revision = await reconciliation_store.advance(work.connection, work.tenant, result.revision, compared_at)
            if revision is None:
                return False
            known = await reconciliation_store.read_drifts(work.connection, work.tenant)
            amounts: dict[Place, int] = {}
            for gauge, compared in result.compared.items():
                before = known.get(gauge, 0)
                if repair and compared.drift:
                    amounts[_place(work, gauge.metric, gauge.labels)] = -compared.drift
                    work.publish([drift_repaired(gauge, compared, revision)])
                elif compared.drift not in (0, before):
                    work.publish([drift_detected(gauge, compared, revision)])
                after = 0 if repair else compared.drift
                if after != before:
                    await _store(work, gauge, compared if after else None)
                    amounts[_place(work, DRIFT.name, (gauge.metric, gauge.label))] = after - before
            if amounts:
                await series_store.add_amounts(work.connection, amounts, {})
        return True


def _place(work: UnitOfWork, metric: str, labels: tuple[str, ...]) -> Place:
    return Place(SeriesKey(work.tenant, metric, labels), work.now().replace(second=0, microsecond=0))


async def _store(work: UnitOfWork, gauge: Gauge, compared: Compared | None) -> None:
    if compared is None:
        await reconciliation_store.delete_drift(work.connection, work.tenant, gauge)
    else:
        await reconciliation_store.store_drift(work.connection, work.tenant, gauge, compared, work.now())


async def list_tenants(container: AppContainer[MetricsConfig], after: str, limit: int) -> list[Tenant]:
    """Up to `limit` tenants with counts that follow `after`, and how they were compared last."""
    async with container.database.connection() as connection:
        return await reconciliation_store.read_tenants(connection, after, limit)


def reconciling(container: AppContainer[MetricsConfig]) -> Schedule:
    """The schedule that compares each tenant once a night; it repeats what was not possible."""
    reconciler = Reconciler(container)

    async def run() -> None:
        began, after = night_at(container.clock(), container.config.reconciliation_hour), ""
        while began is not None:
            async with container.database.connection() as connection:
                tenants = await reconciliation_store.read_tenants(connection, after, AT_ONCE, began)
            for one in tenants:
                await _try_to_reconcile(reconciler, one.tenant)
            if len(tenants) < AT_ONCE:
                return
            after = tenants[-1].tenant

    return Schedule("reconciliation", INTERVAL, run)


async def _try_to_reconcile(reconciler: Reconciler, tenant: str) -> None:
    try:
        result = await reconciler.reconcile(tenant)
    except ServiceError as error:
        logger.warning("a tenant was not compared", extra={"compared_tenant": tenant, "error": str(error)})
        return
    if result.problems:
        facts = {"compared_tenant": tenant, "problems": list(result.problems)}
        logger.warning("gauges of a tenant were not compared", extra=facts)
    for gauge, compared in result.compared.items():
        if compared.drift:
            drift = {"compared_tenant": tenant, "metric": gauge.metric, "label": gauge.label, "drift": compared.drift}
            logger.error("a gauge differs from what exists: correct it with --repair", extra=drift)
