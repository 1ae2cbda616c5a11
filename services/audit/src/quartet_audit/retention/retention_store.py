"""SQL of retention: the setting, and the removal of the entries, parts and leaves that have expired. Never commits."""

from datetime import datetime
from typing import NamedTuple

from quartet_audit.retention.retention_domain import PrunedLog, Retention
from quartet_common.data.connections import Connection

BATCH = 1000
"""Entries that one transaction removes: one has up to 64 KiB, all together some 64 MB."""

READ = "SELECT days, changed_at, changed_by FROM retentions WHERE tenant_id = $1"
STORE = """
INSERT INTO retentions (tenant_id, days, changed_at, changed_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id) DO UPDATE SET days = EXCLUDED.days, changed_at = EXCLUDED.changed_at,
    changed_by = EXCLUDED.changed_by"""

READ_TENANTS = """
SELECT tenant_id FROM retentions r
WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = r.tenant_id) ORDER BY tenant_id"""

READ_PRUNED = "SELECT entries, recorded_until, pruned_at FROM pruned_logs WHERE tenant_id = $1"

NOTE_REPORTED = """
UPDATE pruned_logs SET reported = pruned.entries
FROM (SELECT entries, reported FROM pruned_logs WHERE tenant_id = $1 FOR UPDATE) AS pruned
WHERE tenant_id = $1 AND pruned.entries > pruned.reported
RETURNING pruned.entries - pruned.reported AS entries, pruned.entries AS before"""


class Run(NamedTuple):
    """What was removed since the last event: so many `entries`, which are the last ones below `before`."""

    entries: int
    before: int


async def get_retention(connection: Connection, tenant: str) -> Retention | None:
    """The setting of `tenant`; None keeps its entries for ever."""
    row = await connection.fetchrow(READ, tenant)
    return None if row is None else Retention(**row)


async def lock_retention(connection: Connection, tenant: str) -> Retention | None:
    """The setting, held until the transaction ends; None also while another worker holds it."""
    row = await connection.fetchrow(f"{READ} FOR UPDATE SKIP LOCKED", tenant)
    return None if row is None else Retention(**row)


async def lock_setting(connection: Connection, tenant: str) -> None:
    """Have others that change the setting of `tenant` wait until the transaction ends, whether or not it has one."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"retention:{tenant}")


async def store_retention(connection: Connection, tenant: str, retention: Retention) -> None:
    """Set the retention of `tenant`."""
    await connection.execute(STORE, tenant, retention.days, retention.changed_at, retention.changed_by)


async def delete_retention(connection: Connection, tenant: str) -> None:
    """Have the entries of `tenant` kept for ever from now on."""
    await connection.execute("DELETE FROM retentions WHERE tenant_id = $1", tenant)


async def read_tenants(connection: Connection) -> list[str]:
    """The tenants whose entries expire."""
    return [row["tenant_id"] for row in await connection.fetch(READ_TENANTS)]


async def read_pruned(connection: Connection, tenant: str) -> PrunedLog | None:
    """What has expired of the log of `tenant`, or None."""
    row = await connection.fetchrow(READ_PRUNED, tenant)
    return None if row is None else PrunedLog(**row)


async def prune(connection: Connection, tenant: str, now: datetime) -> int:
    """Remove the next entries of `tenant` that have expired by its setting, at most BATCH; return how many.

    Triggers refuse it if an entry has not expired, or if a tile does not have the hashes of the leaves that go.
    """
    # a function of the owner (0009_owner.sql), which reads the setting itself
    removed: int = await connection.fetchval("SELECT prune_log($1, $2, $3)", tenant, BATCH, now)
    return removed


async def note_reported(connection: Connection, tenant: str) -> Run | None:
    """Note that an event says what was removed so far; what the one before did not say, or None."""
    row = await connection.fetchrow(NOTE_REPORTED, tenant)
    return None if row is None else Run(**row)
