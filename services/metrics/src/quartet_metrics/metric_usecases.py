"""The use cases of metrics: a query, which is one statement; retention; and the counts of the release before."""

from datetime import datetime

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.schedule import Schedule
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_metrics import active_user_store, metric_store
from quartet_metrics.activity_domain import first_kept
from quartet_metrics.config import MetricsConfig
from quartet_metrics.metric_catalog_domain import Kind
from quartet_metrics.metric_domain import ALL, MAX_POINTS, Kept, Query, TooManyPointsError, levels, sums
from quartet_metrics.metric_models import Answer, Point, Series

PRUNE_INTERVAL = 3600.0
PRUNE_BATCH = 5000
"""Samples of one transaction."""
MOVE_INTERVAL = 60.0


def kept_at(config: MetricsConfig, now: datetime) -> Kept:
    """What `config` keeps at `now`."""
    return Kept.at(now, config.minute_days, config.hour_days)


async def answer_query(container: AppContainer[ServiceConfig], tenant: str, query: Query) -> Answer:
    """The series of `query` in `tenant`.

    The range may have all samples of the tenant, so the number of running queries is limited. Raises TooManyPointsError
    (400), ShareExceededError (429).
    """
    async with container.searches.hold(tenant), container.database.connection() as connection:
        series = await _read(connection, tenant, query, container.clock())
    is_counter = query.metric.kind is Kind.COUNTER
    return Answer(
        metric=query.name,
        start=query.start,
        end=query.end,
        step=query.step.name,
        by=query.by,
        series=[
            Series(key, [Point(time, value) for time, value in zip(query.starts, values, strict=True)])
            for key, values in series.items()
        ],
        total=sum(sum(values) if is_counter else values[-1] for values in series.values()),
    )


async def _read(connection: Connection, tenant: str, query: Query, now: datetime) -> dict[str, list[int]]:
    """The values of each series by bucket."""
    if query.metric.kind is Kind.DAILY:
        return {ALL: _last_days(query, await metric_store.read_days(connection, tenant, query, now))}
    if query.metric.kind is Kind.COUNTER:
        cells = await metric_store.read_sums(connection, tenant, query)
        _check_points(query, len({cell.key for cell in cells}))
        return sums(query, cells)
    totals, cells = await metric_store.read_levels(connection, tenant, query)
    _check_points(query, len(totals))
    return levels(query, totals, cells)


def _check_points(query: Query, keys: int) -> None:
    if keys * query.buckets > MAX_POINTS:
        raise TooManyPointsError


def _last_days(query: Query, found: dict[datetime, int]) -> list[int]:
    """The number of the last day of each bucket that has one, 0 for a bucket without."""
    values = [0] * query.buckets
    bucket = 0
    for day, value in sorted(found.items()):
        while bucket + 1 < query.buckets and query.starts[bucket + 1] <= day:
            bucket += 1
        values[bucket] = value
    return values


def pruning(container: AppContainer[MetricsConfig]) -> Schedule:
    """The schedule that deletes what is not kept any more."""

    async def prune() -> None:
        now, config = container.clock(), container.config
        # a day more of active users: a transaction may have begun before midnight
        kept, first = kept_at(config, now), first_kept(now, config.active_user_days + 1)
        async with container.database.connection() as connection:
            tenants = await metric_store.read_tenants(connection)
        for tenant in tenants:
            async with container.database.transaction() as connection:
                await active_user_store.prune(connection, tenant, first)
            pruned = PRUNE_BATCH
            while pruned == PRUNE_BATCH:
                async with container.database.transaction() as connection:
                    pruned = await metric_store.prune_samples(
                        connection, tenant, kept.minutes_from, kept.hours_from, PRUNE_BATCH
                    )

    return Schedule("samples-prune", PRUNE_INTERVAL, prune)


def moving_event_counts(container: AppContainer[MetricsConfig]) -> Schedule:
    """The schedule that moves what processes of the release before count while both run."""

    async def move() -> None:
        async with container.database.transaction() as connection:
            await metric_store.move_event_counts(connection)

    return Schedule("event-counts-move", MOVE_INTERVAL, move)
