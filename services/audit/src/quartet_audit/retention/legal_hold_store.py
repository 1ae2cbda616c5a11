"""SQL of legal holds: while a tenant has one, nothing of its entries is removed. Connection first; never commits."""

from quartet_audit.retention.legal_hold_domain import LegalHold
from quartet_common.data.connections import Connection

READ = "SELECT tenant_id AS tenant, id, reason, set_at, set_by FROM legal_holds"

STORE = """
INSERT INTO legal_holds (tenant_id, id, reason, set_at, set_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id) DO UPDATE SET id = EXCLUDED.id, reason = EXCLUDED.reason, set_at = EXCLUDED.set_at,
    set_by = EXCLUDED.set_by"""

RELEASE = """
DELETE FROM legal_holds WHERE tenant_id = $1 RETURNING tenant_id AS tenant, id, reason, set_at, set_by"""


async def get_hold(connection: Connection, tenant: str) -> LegalHold | None:
    """The hold on the log of `tenant`, or None."""
    row = await connection.fetchrow(f"{READ} WHERE tenant_id = $1", tenant)
    return None if row is None else LegalHold(**row)


async def list_holds(connection: Connection) -> list[LegalHold]:
    """All holds by tenant."""
    return [LegalHold(**row) for row in await connection.fetch(f"{READ} ORDER BY tenant_id")]


async def get_hold_before_removal(connection: Connection, tenant: str) -> LegalHold | None:
    """The hold on the log of `tenant`; if there is none, no one can set it before this transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))", _lock(tenant))
    return await get_hold(connection, tenant)


async def store_hold(connection: Connection, hold: LegalHold) -> None:
    """Set a hold, in place of the one that the tenant may have. Waits for transactions that remove entries."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", _lock(hold.tenant))
    await connection.execute(STORE, hold.tenant, hold.id, hold.reason, hold.set_at, hold.set_by)


async def release_hold(connection: Connection, tenant: str) -> LegalHold | None:
    """Remove the hold and return it, or None; the deletion of the tenant, if it was deleted, goes on."""
    row = await connection.fetchrow(RELEASE, tenant)
    await connection.execute("UPDATE deleted_tenants SET due_at = now() WHERE tenant_id = $1", tenant)
    return None if row is None else LegalHold(**row)


def _lock(tenant: str) -> str:
    return f"legal-hold:{tenant}"
