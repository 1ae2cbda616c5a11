"""SQL of restores: connection first, then the tenant; never commits."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from quartet_common.data.connections import Connection

LOCK = "SELECT archive, counts, completed_at IS NOT NULL AS is_complete FROM restores WHERE tenant_id = $1 FOR UPDATE"
BEGIN = "INSERT INTO restores (tenant_id, archive) VALUES ($1, $2) ON CONFLICT DO NOTHING"
REPLACE = "UPDATE restores SET archive = $2 WHERE tenant_id = $1"
STORE = """
UPDATE restores SET counts = $2::json, stored_at = now(), completed_at = CASE WHEN $3::boolean THEN now() END
WHERE tenant_id = $1"""
IS_DELETED = "SELECT EXISTS (SELECT FROM deleted_tenants WHERE tenant_id = $1)"


@dataclass(frozen=True)
class Restore:
    """How far the restore of an archive is: the lines of each kind that are stored."""

    archive: str
    counts: Mapping[str, int]
    is_complete: bool = False

    @property
    def position(self) -> int:
        """How many lines are stored."""
        return sum(self.counts.values())


async def lock_restore(connection: Connection, tenant: str) -> Restore | None:
    """The restore of a tenant, locked until the transaction ends, or None."""
    row = await connection.fetchrow(LOCK, tenant)
    if row is None:
        return None
    counts = msgspec.json.decode(row["counts"], type=dict[str, int])
    return Restore(row["archive"], counts, row["is_complete"])


async def begin_restore(connection: Connection, tenant: str, archive: str) -> None:
    """Note that an archive is restored, unless one is already."""
    await connection.execute(BEGIN, tenant, archive)


async def replace_restore(connection: Connection, tenant: str, archive: str) -> None:
    """Have another archive restored instead; needs `lock_restore`."""
    await connection.execute(REPLACE, tenant, archive)


async def store_progress(connection: Connection, tenant: str, restore: Restore) -> None:
    """Note how far the restore is; needs `lock_restore`."""
    counts = msgspec.json.encode(restore.counts).decode()
    await connection.execute(STORE, tenant, counts, restore.is_complete)


async def is_deleted(connection: Connection, tenant: str) -> bool:
    """Whether a tenant with this id was deleted here."""
    found: bool = await connection.fetchval(IS_DELETED, tenant)
    return found
