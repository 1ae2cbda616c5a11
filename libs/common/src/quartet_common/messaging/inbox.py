"""The inbox: which events a service has already taken in, noted in the transaction of their effect."""

from collections.abc import Sequence
from datetime import timedelta

from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event

RETENTION = timedelta(days=30)

# In one order for everybody: workers that get the same events at once then wait for each other, but never in a circle.
# Of tenants that are deleted nothing is taken in: it is as if it had been seen before.
INSERT = """
INSERT INTO inbox (tenant_id, event_id)
SELECT DISTINCT * FROM unnest($1::text[], $2::uuid[]) AS received (tenant_id, event_id)
WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = received.tenant_id) ORDER BY 1, 2
ON CONFLICT DO NOTHING RETURNING tenant_id, event_id"""


async def add(connection: Connection, events: Sequence[Event]) -> list[Event]:
    """Note `events` as seen and return those that are new, each once, in their order; none of deleted tenants."""
    rows = await connection.fetch(INSERT, [event.tenantid for event in events], [event.id for event in events])
    new = {(row["tenant_id"], row["event_id"]) for row in rows}
    fresh = []
    for event in events:
        key = (event.tenantid, event.id)
        if key in new:
            new.discard(key)
            fresh.append(event)
    return fresh


async def prune(connection: Connection) -> None:
    """Forget what was seen longer ago than RETENTION; nothing in a queue is that old."""
    await connection.execute("DELETE FROM inbox WHERE received_at < now() - $1::interval", RETENTION)
