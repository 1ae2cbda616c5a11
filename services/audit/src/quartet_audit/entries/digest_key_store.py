"""SQL of the keys of digests: connection first, then the tenant. Never commits."""

from quartet_common.data.connections import Connection

ADD = "INSERT INTO digest_keys (tenant_id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING"


async def get_key(connection: Connection, tenant: str) -> str | None:
    """The encrypted key of a tenant, or None."""
    found: str | None = await connection.fetchval("SELECT key FROM digest_keys WHERE tenant_id = $1", tenant)
    return found


async def add_key(connection: Connection, tenant: str, key: str) -> None:
    """Store the encrypted key of a tenant, unless it has one."""
    await connection.execute(ADD, tenant, key)
