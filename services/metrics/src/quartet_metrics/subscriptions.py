"""Subscriptions: every event is counted, and deleted tenants are noted."""

from collections.abc import Sequence

from quartet_common.data.connections import Connection
from quartet_common.messaging import event_types
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer
from quartet_metrics import metric_store
from quartet_metrics.config import MetricsConfig
from quartet_metrics.metric_domain import tally


def subscriptions(_: AppContainer[MetricsConfig]) -> list[Subscription]:
    """What the metrics service consumes."""
    return [Subscription("#", count_events), Subscription(event_types.TENANT_DELETED, tenant_deletion.handle_events)]


async def count_events(connection: Connection, events: Sequence[Event]) -> None:
    """Add `events`, none of which was counted before, to the counts of their hours."""
    await metric_store.add_counts(connection, tally(events))
