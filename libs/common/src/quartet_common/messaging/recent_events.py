"""Recent events of a tenant: those in the outbox, and those that were published a short time ago.

Who compares numbers of two services needs them: the changes are committed, but their events may not have arrived.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from quartet_common.data.connections import Connection

MOST = 20_000
"""Events of one answer."""
# Urgent events are left out: they are only revocations. A subquery is hashed, however many ids are given.
READ = """
SELECT event FROM (
    SELECT event_id, event FROM outbox WHERE NOT urgent AND tenant_id = $1
    UNION ALL
    SELECT event_id, event FROM published_events WHERE NOT urgent AND tenant_id = $1 AND published_at >= $2
) AS recent WHERE event_id NOT IN (SELECT unnest($3::uuid[])) LIMIT $4"""


async def read_others(
    connection: Connection, tenant: str, since: datetime, known: Sequence[UUID]
) -> list[bytes] | None:
    """The encoded events of `tenant` that wait in the outbox or were published at `since` or later, without the
    `known` ones; None if there are more than MOST.
    """
    rows = await connection.fetch(READ, tenant, since, list(known), MOST + 1)
    return None if len(rows) > MOST else [row["event"] for row in rows]
