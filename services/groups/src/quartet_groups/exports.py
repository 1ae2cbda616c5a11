"""Exports: what `/groups/data/export` streams."""

from collections.abc import AsyncIterator

from quartet_common.database import Connection
from quartet_scim.render import timestamp

GROUPS = "SELECT id, version, created_at, modified_at, resource FROM groups WHERE tenant_id = $1 ORDER BY id"
MEMBERS = "SELECT group_id, member_id FROM members WHERE tenant_id = $1 ORDER BY group_id, member_id"
PREFETCH = 500


async def groups(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each group of the tenant: id, version, times and the SCIM document without members."""
    async for row in connection.cursor(GROUPS, tenant, prefetch=PREFETCH):
        yield (
            f'{{"id":"{row["id"]}","version":{row["version"]},"created":"{timestamp(row["created_at"])}",'
            f'"modified":"{timestamp(row["modified_at"])}","resource":{row["resource"]}}}'
        ).encode()


async def members(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each membership: group and member."""
    async for row in connection.cursor(MEMBERS, tenant, prefetch=PREFETCH):
        yield f'{{"group":"{row["group_id"]}","value":"{row["member_id"]}","type":"User"}}'.encode()
