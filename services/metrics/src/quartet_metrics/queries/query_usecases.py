"""The use case of a query, which is one statement."""

from datetime import datetime

from quartet_common.config.settings import ServiceConfig
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_metrics.config import MetricsConfig
from quartet_metrics.queries import query_store
from quartet_metrics.queries.query_domain import ALL, MAX_POINTS, Kept, Query, TooManyPointsError, levels, sums
from quartet_metrics.queries.query_models import Answer, Point, Series
from quartet_metrics.series.catalog_domain import Kind


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
        return {ALL: _last_days(query, await query_store.read_days(connection, tenant, query, now))}
    if query.metric.kind is Kind.COUNTER:
        cells = await query_store.read_sums(connection, tenant, query)
        _check_points(query, len({cell.key for cell in cells}))
        return sums(query, cells)
    totals, cells = await query_store.read_levels(connection, tenant, query)
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
