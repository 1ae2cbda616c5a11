"""SQL of appending: locks logs, finds what they hold already, adds entries; and reads single entries and whole logs."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from uuid import UUID

import msgspec

from quartet_audit.entry_domain import Entry
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event

EXPORT_PREFETCH = 100
"""Entries that one round trip fetches. One has up to 64 KiB or so, all together some 6 MiB."""

LOCK_LOGS = """
INSERT INTO logs (tenant_id) SELECT tenant_id FROM unnest($1::text[]) AS wanted (tenant_id) ORDER BY tenant_id
ON CONFLICT (tenant_id) DO UPDATE SET size = logs.size RETURNING tenant_id, size"""

SET_SIZES = """
UPDATE logs SET size = grown.size FROM unnest($1::text[], $2::bigint[]) AS grown (tenant_id, size)
WHERE logs.tenant_id = grown.tenant_id"""

FIND_KNOWN = """
SELECT tenant_id, id FROM unnest($1::text[], $2::uuid[]) AS incoming (tenant_id, id)
JOIN entries USING (tenant_id, id)"""

ADD_ENTRIES = """
INSERT INTO entries (tenant_id, sequence, id, time, recorded_at, action, actor, resource_id, outcome, entry)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::text[],
                     $7::text[], $8::text[], $9::text[], $10::json[])"""

# one statement, so that the entries of which hashes are kept are those that go
ERASE_ENTRIES = """
WITH gone AS (
    DELETE FROM entries WHERE tenant_id = $1 AND sequence = ANY(ARRAY(
        SELECT sequence FROM entries WHERE tenant_id = $1 ORDER BY sequence LIMIT $2))
    RETURNING tenant_id, sequence, entry
), kept AS (
    INSERT INTO leaf_hashes (tenant_id, sequence, hash)
    SELECT tenant_id, sequence, leaf_hash(entry) FROM gone RETURNING 1
)
SELECT count(*) FROM kept"""

_encoder = msgspec.json.Encoder()


async def lock_logs(connection: Connection, tenants: Collection[str]) -> dict[str, int]:
    """Hold the logs of `tenants` until the transaction ends and return the size of each.

    Logs are taken in one order by everybody, so that two transactions wait for each other but never in a circle.
    """
    return {row["tenant_id"]: row["size"] for row in await connection.fetch(LOCK_LOGS, sorted(tenants))}


async def find_known(connection: Connection, events: Sequence[Event]) -> set[tuple[str, UUID]]:
    """Tenant and id of those `events` that their logs hold already; needs the logs locked to be final."""
    tenants, ids = [event.tenantid for event in events], [event.id for event in events]
    return {(row["tenant_id"], row["id"]) for row in await connection.fetch(FIND_KNOWN, tenants, ids)}


async def add_entries(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write `entries` and the sizes that their logs have with them; needs the logs locked."""
    await connection.execute(
        ADD_ENTRIES,
        [entry.tenant for entry in entries],
        [entry.sequence for entry in entries],
        [entry.id for entry in entries],
        [entry.time for entry in entries],
        [entry.recorded_time for entry in entries],
        [entry.action for entry in entries],
        [entry.actor for entry in entries],
        [entry.resource.id for entry in entries],
        [entry.outcome for entry in entries],
        [_encoder.encode(entry).decode() for entry in entries],
    )
    await _set_sizes(connection, {entry.tenant: entry.sequence + 1 for entry in entries})


async def _set_sizes(connection: Connection, sizes: Mapping[str, int]) -> None:
    await connection.execute(SET_SIZES, list(sizes), list(sizes.values()))


async def get_entry(connection: Connection, tenant: str, identifier: UUID) -> bytes | None:
    """The JSON of one entry of `tenant`, or None."""
    text = await connection.fetchval("SELECT entry FROM entries WHERE tenant_id = $1 AND id = $2", tenant, identifier)
    return None if text is None else str(text).encode()


async def export_entries(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """The JSON of every entry of `tenant` in the order of its log, read by a server-side cursor."""
    rows = connection.cursor(
        "SELECT entry FROM entries WHERE tenant_id = $1 ORDER BY sequence", tenant, prefetch=EXPORT_PREFETCH
    )
    async for row in rows:
        yield row["entry"].encode()


async def erase_entries(connection: Connection, tenant: str, limit: int) -> int:
    """Remove the first `limit` entries of a deleted tenant, keeping their leaf hashes; returns how many they were."""
    return int(await connection.fetchval(ERASE_ENTRIES, tenant, limit))
