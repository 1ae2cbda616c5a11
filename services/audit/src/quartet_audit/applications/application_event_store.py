"""SQL of events of applications: which were accepted; connection first, then the tenant; never commits."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from quartet_common.data.connections import Connection

RETENTION = timedelta(days=30)
"""For how long it is known that an event was accepted."""
PRUNED = 10_000
"""Rows that one statement deletes, well within its time limit."""

# In a fixed order, so that requests with the same events wait for each other without a deadlock.
CLAIM = """
INSERT INTO application_events (tenant_id, digest, event_id, is_keyed)
SELECT $1, sent.digest, sent.event_id, true FROM unnest($2::bytea[], $3::uuid[]) AS sent (digest, event_id) ORDER BY 2
ON CONFLICT DO NOTHING RETURNING digest"""

FIND = """
SELECT digest, event_id FROM application_events
WHERE tenant_id = $1 AND digest = ANY($2::bytea[]) AND is_keyed = $3"""
LOCK_UNKEYED = """
SELECT digest FROM application_events WHERE tenant_id = $1 AND NOT is_keyed ORDER BY digest LIMIT $2 FOR UPDATE"""
REPLACE = """
UPDATE application_events SET digest = new.digest, is_keyed = true
FROM unnest($2::bytea[], $3::bytea[]) AS new (former, digest)
WHERE tenant_id = $1 AND application_events.digest = new.former AND NOT is_keyed"""

PRUNE = """
DELETE FROM application_events WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM application_events WHERE received_at < now() - $1::interval ORDER BY received_at LIMIT $2
))"""


async def claim(connection: Connection, tenant: str, ids: Mapping[bytes, UUID]) -> set[bytes]:
    """Note events, given by digest with the id of their entry; return the digests of those that were not known."""
    rows = await connection.fetch(CLAIM, tenant, list(ids), list(ids.values()))
    return {row["digest"] for row in rows}


async def find_ids(
    connection: Connection, tenant: str, digests: Collection[bytes], *, is_keyed: bool
) -> dict[bytes, UUID]:
    """The ids of the entries of accepted events, by digests with a key or without one."""
    rows = await connection.fetch(FIND, tenant, list(digests), is_keyed)
    return {row["digest"]: row["event_id"] for row in rows}


async def find_unkeyed(connection: Connection) -> str | None:
    """A tenant with digests without a key, or None."""
    tenant: str | None = await connection.fetchval(
        "SELECT tenant_id FROM application_events WHERE NOT is_keyed LIMIT 1"
    )
    return tenant


async def lock_unkeyed(connection: Connection, tenant: str) -> list[bytes]:
    """Digests without a key, up to PRUNED, locked until the transaction ends."""
    return [row["digest"] for row in await connection.fetch(LOCK_UNKEYED, tenant, PRUNED)]


async def replace_digests(connection: Connection, tenant: str, digests: Mapping[bytes, bytes]) -> None:
    """Replace digests without a key by those with one."""
    await connection.execute(REPLACE, tenant, list(digests), list(digests.values()))


async def count_waiting(connection: Connection, tenant: str, most: int) -> int:
    """How many events of the tenant wait to be published, counted up to `most`."""
    number: int = await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM outbox WHERE tenant_id = $1 AND NOT urgent LIMIT $2) AS waiting",
        tenant,
        most,
    )
    return number


async def prune(connection: Connection) -> int:
    """Delete the oldest rows that are older than RETENTION, at most PRUNED; return how many."""
    status = await connection.execute(PRUNE, RETENTION, PRUNED)
    return int(status.removeprefix("DELETE "))
