"""SQL of proofs: one entry with its leaf, its parts and what was erased of them. Connection first; never commits."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from quartet_audit.leaves.leaf_domain import PERSONAL_PARTS, Part
from quartet_common.data.connections import Connection

READ_ENTRY = """
SELECT e.sequence, l.leaf, e.facts, e.facts_salt, p.actor, p.actor_salt, p.resource, p.resource_salt,
       p.source, p.source_salt, p.changes, p.changes_salt, r.erased_parts, r.times, r.requests
FROM entries e
JOIN leaves l ON l.tenant_id = e.tenant_id AND l.sequence = e.sequence
LEFT JOIN personal_parts p ON p.tenant_id = e.tenant_id AND p.sequence = e.sequence
CROSS JOIN LATERAL (
    SELECT array_agg(part) AS erased_parts, array_agg(erased_at) AS times, array_agg(request_id) AS requests
    FROM erased_parts WHERE tenant_id = e.tenant_id AND sequence = e.sequence
) AS r
WHERE e.tenant_id = $1 AND e.id = $2"""


class Erased(NamedTuple):
    """When a part was erased, and by which request."""

    time: datetime
    request: UUID

    def document(self) -> dict[str, str]:
        """The same as JSON, with the time as entries have it."""
        time = self.time.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"time": time, "request": str(self.request)}


class ProvenEntry(NamedTuple):
    """An entry as a proof has it."""

    sequence: int
    leaf: bytes
    parts: dict[str, Part]
    erased: dict[str, Erased]


async def read_entry(connection: Connection, tenant: str, identifier: UUID) -> ProvenEntry | None:
    """The entry of `tenant` with this id, or None."""
    row = await connection.fetchrow(READ_ENTRY, tenant, identifier)
    if row is None:
        return None
    parts = {name: part for name in ("facts", *PERSONAL_PARTS) if (part := _part(row, name)) is not None}
    columns = (row[name] or () for name in ("erased_parts", "times", "requests"))
    erased = {part: Erased(time, request) for part, time, request in zip(*columns, strict=True)}
    return ProvenEntry(row["sequence"], row["leaf"], parts, erased)


def _part(row: asyncpg.Record, name: str) -> Part | None:
    return None if row[name] is None else Part(row[name], row[f"{name}_salt"])
