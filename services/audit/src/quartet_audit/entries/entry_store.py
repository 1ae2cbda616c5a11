"""SQL of entries: finds those that a log has already, adds entries with their parts, reads entries and logs."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from uuid import UUID

import asyncpg

from quartet_audit.entries.entry_domain import NewEntry
from quartet_audit.leaves.leaf_domain import PARTS, PERSONAL_PARTS, Part
from quartet_audit.leaves.part_domain import join
from quartet_audit.retention.retention_store import read_pruned
from quartet_common.core.offload import slices
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event

EXPORT_RANGE = 100
"""Entries that one statement of an export reads. One has up to 64 KiB or so, all together some 6 MiB."""

PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of entries after which a page ends."""
PAGE_STEP = 50
"""Entries of a page that one statement reads: at most some 3 MiB more than the page may have."""

FIND_KNOWN = """
SELECT tenant_id, id FROM unnest($1::text[], $2::uuid[]) AS incoming (tenant_id, id)
JOIN entries USING (tenant_id, id)"""

FIND_MISSING = """
SELECT tenant_id, id FROM unnest($1::text[], $2::uuid[]) AS published (tenant_id, id)
WHERE NOT EXISTS (SELECT FROM entries e WHERE e.tenant_id = published.tenant_id AND e.id = published.id)
    AND NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = published.tenant_id)"""

NO_PART = None, None
"""Content and salt of a part that an entry does not have."""
ENTRY_COLUMNS = (
    *("tenant_id", "sequence", "id", "time", "recorded_at", "action", "actor", "resource_type", "resource_id"),
    *("outcome", "facts", "facts_salt"),
)
PART_COLUMNS = ("tenant_id", "sequence", *(column for part in PERSONAL_PARTS for column in (part, f"{part}_salt")))

# OFFSET 0 has the parts of each entry looked up by the key: with old statistics PostgreSQL would read those of the log.
CONTENTS = """
SELECT e.sequence, e.facts, p.actor, p.resource, p.source, p.changes, (
    SELECT json_agg(json_build_object(
        'part', part, 'time', to_char(erased_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'request', request_id) ORDER BY part)
    FROM erased_parts r WHERE r.tenant_id = e.tenant_id AND r.sequence = e.sequence
) AS erased
FROM entries e LEFT JOIN LATERAL (
    SELECT * FROM personal_parts WHERE tenant_id = e.tenant_id AND sequence = e.sequence OFFSET 0
) AS p ON true
WHERE e.tenant_id = $1"""

EXPORT = f"{CONTENTS} AND e.sequence >= $2 AND e.sequence < $3 ORDER BY e.sequence"


async def find_known(connection: Connection, events: Sequence[Event]) -> set[tuple[str, int]]:
    """Tenant and id, as a number, of those `events` that their logs hold already; needs the logs locked to be final."""
    tenants, ids = [event.tenantid for event in events], [event.id for event in events]
    return {(row["tenant_id"], row["id"].int) for row in await connection.fetch(FIND_KNOWN, tenants, ids)}


async def find_missing(connection: Connection, ids: Mapping[str, Sequence[UUID]]) -> dict[str, list[UUID]]:
    """Those of `ids`, by tenant, that have no entry; those of deleted tenants have none any more."""
    tenants = [tenant for tenant, own in ids.items() for _ in own]
    missing: dict[str, list[UUID]] = {}
    for row in await connection.fetch(FIND_MISSING, tenants, [one for own in ids.values() for one in own]):
        missing.setdefault(row["tenant_id"], []).append(row["id"])
    return missing


async def add_entries(connection: Connection, entries: Sequence[NewEntry]) -> None:
    """Write `entries` with their parts, without their leaves; needs the logs locked."""
    rows = [(*entry[:10], *entry.parts["facts"]) for entry in entries]
    await connection.copy_records_to_table("entries", records=rows, columns=ENTRY_COLUMNS)
    personal = [(entry.tenant, entry.sequence, *_personal(entry.parts)) for entry in entries]
    await connection.copy_records_to_table("personal_parts", records=personal, columns=PART_COLUMNS)


def _personal(parts: Mapping[str, Part]) -> Iterator[bytes | None]:
    """Content and salt of each personal part, as in PART_COLUMNS."""
    for name in PERSONAL_PARTS:
        yield from parts.get(name, NO_PART)


async def get_entry(connection: Connection, tenant: str, identifier: UUID) -> bytes | None:
    """The JSON of one entry of `tenant`, or None."""
    row = await connection.fetchrow(f"{CONTENTS} AND e.id = $2", tenant, identifier)
    return None if row is None else _json(row)


async def read_entries(
    connection: Connection, tenant: str, sequences: Sequence[int], most: int | None = None
) -> list[bytes]:
    """The JSON of the entries of `tenant` at `sequences`, in their order: of the first ones, as many as have `most`
    bytes together (PAGE_BYTES), and at least one.
    """
    entries: list[bytes] = []
    room = PAGE_BYTES if most is None else most
    for some in slices(sequences, PAGE_STEP):
        rows = await connection.fetch(f"{CONTENTS} AND e.sequence = ANY($2)", tenant, some)
        found = {row["sequence"]: _json(row) for row in rows}
        for sequence in some:
            room -= len(found[sequence])
            if room < 0 and entries:
                return entries
            entries.append(found[sequence])
    return entries


async def export_entries(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """The JSON of every entry of `tenant` that is kept in the order of its log; `connection` must be in a snapshot.

    Read range by range: for a whole log PostgreSQL may decide to read and sort all of it first.
    """
    size = await connection.fetchval("SELECT size FROM logs WHERE tenant_id = $1", tenant) or 0
    pruned = await read_pruned(connection, tenant)
    for start in range(0 if pruned is None else pruned.entries, size, EXPORT_RANGE):
        for row in await connection.fetch(EXPORT, tenant, start, start + EXPORT_RANGE):
            yield _json(row)


def _json(row: asyncpg.Record) -> bytes:
    erased = row["erased"]
    return join({part: row[part] for part in PARTS}, None if erased is None else erased.encode())
