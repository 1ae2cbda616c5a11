"""Exports: what `/users/data/export` streams."""

from collections.abc import AsyncIterator

from quartet_common.database import Connection
from quartet_scim.render import timestamp

ROWS = "SELECT id, version, created_at, modified_at, resource FROM users WHERE tenant_id = $1 ORDER BY id"


async def users(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each user of the tenant: id, version, times and the SCIM document; no passwords."""
    async for row in connection.cursor(ROWS, tenant, prefetch=500):
        yield (
            f'{{"id":"{row["id"]}","version":{row["version"]},"created":"{timestamp(row["created_at"])}",'
            f'"modified":"{timestamp(row["modified_at"])}","resource":{row["resource"]}}}'
        ).encode()
