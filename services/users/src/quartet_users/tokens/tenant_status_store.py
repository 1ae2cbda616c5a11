"""SQL of the status of tenants, which decides whether tokens are issued."""

from quartet_common.data.connections import Connection
from quartet_users.tenants.tenant_domain import Status
from quartet_users.tenants.tenant_store import tenant


async def read_status(connection: Connection, tenant: str) -> Status | None:
    """The status of the tenant; None if there is none of that id."""
    found: Status | None = await connection.fetchval("SELECT status FROM tenants WHERE tenant_id = $1", tenant)
    return found
