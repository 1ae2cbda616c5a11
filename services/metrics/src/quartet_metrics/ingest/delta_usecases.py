"""The schedule that deletes the totals of deltas that have ended."""

from datetime import timedelta

from quartet_common.core.schedule import Schedule
from quartet_common.runtime.container import AppContainer
from quartet_metrics.config import MetricsConfig
from quartet_metrics.ingest import delta_store

KEPT = timedelta(days=7)
"""How long the totals of a delta without points are kept; then it begins with 0 again."""
PRUNE_INTERVAL, PRUNE_BATCH = 3600.0, 5000


def pruning_deltas(container: AppContainer[MetricsConfig]) -> Schedule:
    """The schedule; a delta that comes later begins with 0 again, which is a reset of its counter."""

    async def prune() -> None:
        pruned = PRUNE_BATCH
        while pruned == PRUNE_BATCH:
            async with container.database.transaction() as connection:
                pruned = await delta_store.prune_totals(connection, container.clock() - KEPT, PRUNE_BATCH)

    return Schedule("delta-totals-prune", PRUNE_INTERVAL, prune)
