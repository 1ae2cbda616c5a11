"""Subscriptions: every event becomes an entry, and deleted tenants are noted."""

from collections.abc import Sequence

from quartet_audit.checkpoints.grown_logs import GrownLogs
from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_usecases import append_events
from quartet_common.data.connections import Connection
from quartet_common.messaging import event_types
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.container import AppContainer


def subscriptions(container: AppContainer[AuditConfig]) -> list[Subscription]:
    """What the audit service consumes."""

    async def record(connection: Connection, events: Sequence[Event]) -> None:
        container.shared(GrownLogs).add({event.tenantid for event in events})
        await append_events(connection, events, container.clock())

    return [Subscription("#", record), Subscription(event_types.TENANT_DELETED, tenant_deletion.handle_events)]
