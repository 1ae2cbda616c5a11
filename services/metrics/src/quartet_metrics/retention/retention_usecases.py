"""Schedules that delete what is not kept any more, and that move the counts of the release before."""

from quartet_common.core.schedule import Schedule
from quartet_common.runtime.container import AppContainer
from quartet_metrics.active_users import active_user_store
from quartet_metrics.active_users.activity_domain import first_kept
from quartet_metrics.config import MetricsConfig
from quartet_metrics.queries.query_usecases import kept_at
from quartet_metrics.retention import retention_store

PRUNE_INTERVAL = 3600.0
PRUNE_BATCH = 5000
"""Samples of one transaction."""
MOVE_INTERVAL = 60.0


def pruning(container: AppContainer[MetricsConfig]) -> Schedule:
    """The schedule that deletes what is not kept any more."""

    async def prune() -> None:
        now, config = container.clock(), container.config
        # a day more of active users: a transaction may have begun before midnight
        kept, first = kept_at(config, now), first_kept(now, config.active_user_days + 1)
        async with container.database.connection() as connection:
            tenants = await retention_store.read_tenants(connection)
        for tenant in tenants:
            async with container.database.transaction() as connection:
                await active_user_store.prune(connection, tenant, first)
            pruned = PRUNE_BATCH
            while pruned == PRUNE_BATCH:
                async with container.database.transaction() as connection:
                    pruned = await retention_store.prune_samples(
                        connection, tenant, kept.minutes_from, kept.hours_from, PRUNE_BATCH
                    )

    return Schedule("samples-prune", PRUNE_INTERVAL, prune)


def moving_event_counts(container: AppContainer[MetricsConfig]) -> Schedule:
    """The schedule that moves what processes of the release before count while both run."""

    async def move() -> None:
        async with container.database.transaction() as connection:
            await retention_store.move_event_counts(connection)

    return Schedule("event-counts-move", MOVE_INTERVAL, move)
