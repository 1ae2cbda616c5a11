"""SQL of erasures: requests and their progress, the entries of a person, and the removal of personal parts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from quartet_audit.erasures.erasure_domain import Erasure
from quartet_audit.retention import legal_hold_store
from quartet_common.data.connections import Connection

Row = Mapping[str, Any]
"""The personal parts of an entry, its `sequence`, and whether the user is its actor or its resource; from `read_own`
also its `action`."""

COLUMNS = """
tenant_id AS tenant, id, user_id AS user, actor, requested_at, size, searched, entries, parts, completed_at"""

READ_OPEN = f"""
SELECT {COLUMNS} FROM erasures e WHERE completed_at IS NULL
    AND NOT EXISTS (SELECT FROM legal_holds h WHERE h.tenant_id = e.tenant_id)
    AND has_entry(tenant_id, 'audit.erasure.requested', id::text) ORDER BY tenant_id, requested_at, id"""

INSERT = """
INSERT INTO erasures (tenant_id, id, user_id, actor, requested_at, size)
VALUES ($1, $2, $3, $4, $5, coalesce((SELECT size FROM logs WHERE tenant_id = $1), 0))"""

IS_KNOWN = """
SELECT EXISTS (SELECT FROM entries WHERE tenant_id = $1 AND actor = $2)
    OR EXISTS (SELECT FROM entries WHERE tenant_id = $1 AND resource_id = $2)"""

# OFFSET 0: see entry_store.CONTENTS
READ_PARTS = """
SELECT e.sequence, e.actor = $4 AS is_by_user, e.resource_id = $4 AS is_of_user,
       p.actor, p.resource, p.source, p.changes
FROM entries e CROSS JOIN LATERAL (
    SELECT * FROM personal_parts WHERE tenant_id = e.tenant_id AND sequence = e.sequence OFFSET 0
) AS p
WHERE e.tenant_id = $1 AND e.sequence >= $2 AND e.sequence < $3 ORDER BY e.sequence"""

READ_OWN = """
SELECT e.sequence, e.action, e.actor = $4 AS is_by_user, e.resource_id = $4 AS is_of_user,
       p.actor, p.resource, p.source, p.changes
FROM entries e CROSS JOIN LATERAL (
    SELECT * FROM personal_parts WHERE tenant_id = e.tenant_id AND sequence = e.sequence OFFSET 0
) AS p
WHERE e.tenant_id = $1 AND e.sequence >= $2 AND e.sequence < $3 AND (e.actor = $4 OR e.resource_id = $4)
ORDER BY e.sequence"""

# a function of the owner (0009_owner.sql), which demands the entry of the request
ERASE = "SELECT erase_parts($1, $2, $3::bigint[], $4) AS sequence"

NOTE_PROGRESS = """
UPDATE erasures SET searched = $3, entries = entries + $4, parts = parts + $5 WHERE tenant_id = $1 AND id = $2"""


async def insert_erasure(
    connection: Connection, tenant: str, identifier: UUID, user: str, actor: str, now: datetime
) -> None:
    """Add a request to erase `user` from the entries that the log of `tenant` has now."""
    await connection.execute(INSERT, tenant, identifier, user, actor, now)


async def is_known(connection: Connection, tenant: str, user: str) -> bool:
    """Whether `user` is the actor or the resource of an entry of `tenant`."""
    return bool(await connection.fetchval(IS_KNOWN, tenant, user))


async def count_open(connection: Connection, tenant: str) -> int:
    """Requests of `tenant` that are not completed. Until the transaction ends, others that count for it wait."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"erasures:{tenant}")
    return int(
        await connection.fetchval("SELECT count(*) FROM erasures WHERE tenant_id = $1 AND completed_at IS NULL", tenant)
    )


async def get_erasure(connection: Connection, tenant: str, identifier: UUID) -> Erasure | None:
    """A request of `tenant`, or None."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM erasures WHERE tenant_id = $1 AND id = $2", tenant, identifier
    )
    return None if row is None else Erasure(**row)


async def read_open(connection: Connection) -> list[Erasure]:
    """All requests that are not completed, have an entry already, and that no legal hold stops: by tenant, the oldest
    first.
    """
    return [Erasure(**row) for row in await connection.fetch(READ_OPEN)]


async def lock_open(connection: Connection, erasure: Erasure) -> bool:
    """Hold a request until the transaction ends; False if it is completed, if its tenant's rows are removed, or while a
    legal hold is on the log.
    """
    if await legal_hold_store.get_hold_before_removal(connection, erasure.tenant) is not None:
        return False
    held = await connection.fetchval(
        "SELECT true FROM erasures WHERE tenant_id = $1 AND id = $2 AND completed_at IS NULL FOR UPDATE",
        erasure.tenant,
        erasure.id,
    )
    return held is not None


async def read_parts(connection: Connection, erasure: Erasure, start: int, end: int) -> list[Row]:
    """The entries from `start` to before `end`."""
    return [dict(row) for row in await connection.fetch(READ_PARTS, erasure.tenant, start, end, erasure.user)]


async def read_own(connection: Connection, erasure: Erasure, start: int, end: int) -> list[Row]:
    """As `read_parts`, of the entries whose actor or resource the user is."""
    return [dict(row) for row in await connection.fetch(READ_OWN, erasure.tenant, start, end, erasure.user)]


async def erase_parts(connection: Connection, erasure: Erasure, sequences: Sequence[int], now: datetime) -> list[int]:
    """Remove the personal parts of the entries at `sequences`; the sequence of the entry of each part removed."""
    if not sequences:
        return []
    return [row["sequence"] for row in await connection.fetch(ERASE, erasure.tenant, erasure.id, sequences, now)]


async def record_progress(connection: Connection, erasure: Erasure, searched: int, removed: Sequence[int]) -> None:
    """Note up to where the log was searched, and what `erase_parts` removed."""
    await connection.execute(NOTE_PROGRESS, erasure.tenant, erasure.id, searched, len(set(removed)), len(removed))


async def complete(connection: Connection, erasure: Erasure, now: datetime) -> Erasure:
    """Note that a request is carried out; the request as it is then."""
    row = await connection.fetchrow(
        f"UPDATE erasures SET completed_at = $3 WHERE tenant_id = $1 AND id = $2 RETURNING {COLUMNS}",
        erasure.tenant,
        erasure.id,
        now,
    )
    if row is None:
        raise AssertionError("lock_open holds the row")
    return Erasure(**row)


async def erase_tenant(connection: Connection, table: str, tenant: str, limit: int) -> int:
    """Delete at most `limit` rows of a deleted tenant from `table`, once its deletion is an entry; return how many."""
    removed: int = await connection.fetchval("SELECT erase_tenant($1, $2, $3)", table, tenant, limit)
    return removed
