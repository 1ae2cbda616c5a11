"""The journal: events that RabbitMQ has confirmed stay for some hours, so that they can be sent again if it loses them.

The relay moves rows from the outbox into the table `published_events`. Replaying moves them back, with the ids of the
events: the inbox of each consumer leaves out those that had arrived.
"""

from datetime import datetime

from quartet_common.connecting import Connection
from quartet_common.database import Database, note_outgoing

SLICE = 10_000
"""Events of one transaction."""

LAST = "SELECT coalesce(max(id), 0) FROM published_events"
REPLAY = """
WITH chosen AS (
    DELETE FROM published_events WHERE id = ANY(ARRAY(
        SELECT id FROM published_events
        WHERE published_at >= $1 AND ($2::text IS NULL OR tenant_id = $2) AND id > $3 AND id <= $4 ORDER BY id LIMIT $5
    )) RETURNING *
), moved AS (
    INSERT INTO outbox (tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent)
    SELECT tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent FROM chosen ORDER BY id
)
SELECT count(*) AS count, max(id) AS last FROM chosen"""
PRUNE = """
DELETE FROM published_events WHERE id = ANY(ARRAY(
    SELECT id FROM published_events WHERE published_at < now() - make_interval(secs => $1) LIMIT $2))"""


async def replay(database: Database, since: datetime, tenant: str | None) -> int:
    """Put the events that were published at `since` or later into the outbox again, in their order; returns how many.

    Those of all tenants if `tenant` is None. What is published meanwhile is left out. Raises UnavailableError.
    """
    async with database.connection() as connection:
        last = await connection.fetchval(LAST)
    replayed, after = 0, -1
    while True:
        async with database.transaction() as connection:
            row = await connection.fetchrow(REPLAY, since, tenant, after, last, SLICE)
            note_outgoing()
        if row is None or not row["count"]:
            return replayed
        replayed, after = replayed + row["count"], row["last"]


async def prune(connection: Connection, hours: float) -> int:
    """Forget up to SLICE events that were published more than `hours` ago; how many there were."""
    done: str = await connection.execute(PRUNE, hours * 3600, SLICE)
    return int(done.rpartition(" ")[2])
