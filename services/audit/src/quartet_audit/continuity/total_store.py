"""SQL of totals, for metrics: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from quartet_audit.entries import entry_store
from quartet_common.data.connections import Connection
from quartet_common.data.totals import Found, Total

PAGE = 1000
MOST = 20_000
"""Recent entries of one answer."""
# Entries that retention has removed count until the event that says so.
READ = """
SELECT coalesce((SELECT size FROM logs WHERE tenant_id = $1), 0)
    - coalesce((SELECT reported FROM pruned_logs WHERE tenant_id = $1), 0)"""
NEWEST = """
SELECT sequence, id, recorded_at FROM entries WHERE tenant_id = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3"""


async def read_totals(connection: Connection, tenant: str, since: datetime, applied: Sequence[UUID]) -> Found:
    """The entries of the log, with the `applied` events that have none yet; `recorded` are the events that have got
    theirs at `since` or later, without the `applied` ones.

    So a caller that has applied other events than the log has entries of can compare.
    """
    entries = await connection.fetchval(READ, tenant)
    missing = await entry_store.find_missing(connection, {tenant: applied})
    recorded = await _read_recorded(connection, tenant, since)
    known = frozenset(applied)
    return Found(
        [Total("quartet_audit_entries", (), entries + len(missing.get(tenant, ())))],
        None if recorded is None else [one for one in recorded if one not in known],
    )


async def _read_recorded(connection: Connection, tenant: str, since: datetime) -> list[UUID] | None:
    """The ids of the entries that were recorded at `since` or later; None if there are more than MOST."""
    found: list[UUID] = []
    before = 2**62
    while len(found) <= MOST:
        rows = await connection.fetch(NEWEST, tenant, before, PAGE)
        found += [row["id"] for row in rows if row["recorded_at"] >= since]
        if len(rows) < PAGE or rows[-1]["recorded_at"] < since:
            return found
        before = rows[-1]["sequence"]
    return None
