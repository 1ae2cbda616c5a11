"""The journal: published events that are kept for some hours, for a RabbitMQ that loses its data.

The relay moves rows from the outbox into the table `published_events`. A replay moves them back, with the ids of the
events: the inbox of each consumer skips those that had arrived.
"""

from datetime import datetime

from quartet_common.data.connections import Connection
from quartet_common.data.database import Database, note_outgoing

SLICE = 10_000
"""Events of one transaction; of a replay a few more: all that were published at the same time as the last one."""

OF_ALL = "published_at >= $1 AND published_at < $2"
OF_TENANT = "tenant_id = $4 AND published_at >= $1 AND published_at < $2"
CHOSEN = """
SELECT id FROM published_events WHERE {which} AND tenant_id NOT IN (SELECT tenant_id FROM deleted_tenants)
ORDER BY published_at FETCH FIRST ($3) ROWS WITH TIES"""
MOVE_BACK = """
WITH chosen AS (
    DELETE FROM published_events WHERE id = ANY(ARRAY({ids})) RETURNING *
), moved AS (
    INSERT INTO outbox (tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent)
    SELECT tenant_id, actor_id, aggregate, type, event_id, traceparent, event, urgent
    FROM chosen ORDER BY published_at, id
)
SELECT count(*) AS count, max(published_at) AS last FROM chosen"""
REPLAY = MOVE_BACK.format(ids=CHOSEN.format(which=OF_ALL))
REPLAY_TENANT = MOVE_BACK.format(ids=CHOSEN.format(which=OF_TENANT))
PRUNE = """
DELETE FROM published_events WHERE id = ANY(ARRAY(
    SELECT id FROM published_events WHERE published_at < now() - make_interval(secs => $1)
    ORDER BY published_at LIMIT $2))"""


async def replay(database: Database, since: datetime, tenant: str | None) -> int:
    """Move the events that were published at `since` or later back into the outbox, in their order; return how many.

    Those of all tenants if `tenant` is None. Events of deleted tenants, which are not erased yet, and events that are
    published meanwhile are left out. Raises UnavailableError.
    """
    statement, tenants = (REPLAY, []) if tenant is None else (REPLAY_TENANT, [tenant])
    async with database.connection() as connection:
        begun = await connection.fetchval("SELECT now()")
    replayed = 0
    while True:
        async with database.transaction() as connection:
            row = await connection.fetchrow(statement, since, begun, SLICE, *tenants)
            note_outgoing()
        if row is None or not row["count"]:
            return replayed
        replayed, since = replayed + row["count"], row["last"]


async def prune(connection: Connection, hours: float) -> int:
    """Delete up to SLICE events that were published more than `hours` ago; return how many."""
    done: str = await connection.execute(PRUNE, hours * 3600, SLICE)
    return int(done.rpartition(" ")[2])
