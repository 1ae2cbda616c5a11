"""Use cases: one question, one statement."""

from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer
from quartet_metrics import metric_store
from quartet_metrics.errors import TooManyPointsError
from quartet_metrics.metric_domain import MAX_POINTS, Query, dense
from quartet_metrics.metric_models import Answer, Point, Series


async def answer_query(container: AppContainer[ServiceConfig], tenant: str, query: Query) -> Answer:
    """The series of `query` in `tenant`.

    Its range may hold all counts of the tenant, so few run at a time. Raises TooManyPointsError (400),
    ShareExceededError (429).
    """
    async with container.searches.hold(tenant), container.database.connection() as connection:
        cells = await metric_store.sum_counts(connection, tenant, query)
    keys = {cell.key for cell in cells}
    if len(keys) * query.buckets > MAX_POINTS:
        raise TooManyPointsError
    series = [
        Series(key, [Point(time, value) for time, value in points]) for key, points in dense(query, cells).items()
    ]
    return Answer(
        metric=query.metric.name,
        start=query.start,
        end=query.end,
        step=query.step.name,
        by=query.by,
        series=series,
        total=sum(cell.value for cell in cells),
    )
