"""SQL of the status of tenants, which decides whether tokens are issued."""

from quartet_common.data.connections import Connection


async def read_status(connection: Connection, tenant: str) -> str | None:
    """The status of the tenant; None if it never existed."""
    found: str | None = await connection.fetchval("SELECT status FROM tenants WHERE tenant_id = $1", tenant)
    return found
