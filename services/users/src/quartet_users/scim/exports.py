"""Exports of users, and of the schemas that the tenant has registered for them."""

from collections.abc import AsyncIterator

from quartet_common.data.connections import Connection
from quartet_scim.render import timestamp

ROWS = "SELECT id, version, created_at, modified_at, resource FROM users WHERE tenant_id = $1 ORDER BY id"

SCHEMAS = "SELECT document FROM tenant_schemas WHERE tenant_id = $1 ORDER BY created_at, urn_key"


PREFETCH = 16
"""Users that one round trip fetches: FETCH_BYTES of the largest that the default QUARTET_MAX_USER_BYTES allows."""


async def schemas(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each schema that the tenant has registered, without meta."""
    async for row in connection.cursor(SCHEMAS, tenant):
        yield row["document"].encode()


async def users(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each user of the tenant: id, version, times and the SCIM document; no passwords."""
    async for row in connection.cursor(ROWS, tenant, prefetch=PREFETCH):
        yield (
            f'{{"id":"{row["id"]}","version":{row["version"]},"created":"{timestamp(row["created_at"])}",'
            f'"modified":"{timestamp(row["modified_at"])}","resource":{row["resource"]}}}'
        ).encode()
