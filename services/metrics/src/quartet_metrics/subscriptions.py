"""Subscriptions of the metrics service: it counts all events, and deletes the data of deleted tenants."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from quartet_common.data.connections import Connection
from quartet_common.messaging import event_types
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_metrics.active_users import active_user_store
from quartet_metrics.active_users.activity_domain import activities, deleted_users, first_kept, tenants_of
from quartet_metrics.config import MetricsConfig
from quartet_metrics.series import series_store
from quartet_metrics.series.series_domain import Place, SeriesKey, tally


def subscriptions(container: AppContainer[MetricsConfig]) -> list[Subscription]:
    """The subscriptions to all events, and to deleted tenants."""

    async def count(connection: Connection, events: Sequence[Event]) -> None:
        await count_events(connection, events, first_kept(container.clock(), container.config.active_user_days))

    return [Subscription("#", count), Subscription(event_types.TENANT_DELETED, tenant_deletion.handle_events)]


async def count_events(connection: Connection, events: Sequence[Event], first: date) -> None:
    """Add new `events` to the series of their minutes, and to the active users of their days since `first`."""
    days = await _count_users(connection, events, first)
    await series_store.add_amounts(connection, tally(events), days)


async def _count_users(connection: Connection, events: Sequence[Event], first: date) -> Counter[Place]:
    """Store which users were active, and return by how many users each day of each metric grows."""
    active = [one for one in activities(events) if one.day >= first]
    deleted = deleted_users(events)
    if active:
        active = await active_user_store.new_activities(connection, active)
    days: Counter[Place] = Counter()
    if not active and not deleted:
        return days
    await active_user_store.lock_tenants(connection, tenants_of(active, deleted))
    if deleted:
        await active_user_store.forget_users(connection, deleted)
    if active:
        for tenant, metric, day, users in await active_user_store.add_activities(connection, active, first):
            days[Place(SeriesKey(tenant, metric, ()), datetime.combine(day, time(), UTC))] = users
    return days
