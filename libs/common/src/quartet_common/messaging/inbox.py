"""The inbox: the events that a service has handled, noted in the transaction of their effect."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event

TakeNew = Callable[[Connection, Sequence[Event]], Awaitable[Sequence[Event]]]
"""Notes events as handled, in the transaction of their effect, and returns the new ones in their order."""

RETENTION = timedelta(days=30)

# In a fixed order, so that workers with the same events wait for each other without a deadlock. Events of deleted
# tenants are skipped like duplicates.
INSERT = """
INSERT INTO inbox (tenant_id, event_id)
SELECT DISTINCT * FROM unnest($1::text[], $2::uuid[]) AS received (tenant_id, event_id)
WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = received.tenant_id) ORDER BY 1, 2
ON CONFLICT DO NOTHING RETURNING tenant_id, event_id"""


async def add(connection: Connection, events: Sequence[Event]) -> list[Event]:
    """Note `events` as handled and return the new ones, each once, in their order; none of deleted tenants."""
    rows = await connection.fetch(INSERT, [event.tenantid for event in events], [event.id for event in events])
    if len(rows) == len(events):
        return list(events)
    new = {(row["tenant_id"], row["event_id"]) for row in rows}
    fresh = []
    for event in events:
        key = (event.tenantid, event.id)
        if key in new:
            new.discard(key)
            fresh.append(event)
    return fresh


async def take_all(_: Connection, events: Sequence[Event]) -> Sequence[Event]:
    """All `events`, without a note of them: an event may have its effect more than once. For idempotent handlers."""
    return events


async def prune(connection: Connection) -> None:
    """Delete rows that are older than RETENTION; no message in a queue is that old."""
    await connection.execute("DELETE FROM inbox WHERE received_at < now() - $1::interval", RETENTION)
