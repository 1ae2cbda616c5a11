"""Exports: what `/groups/data/export` streams."""

from collections.abc import AsyncIterator

from quartet_common.data.connections import Connection
from quartet_groups.member_domain import Kind
from quartet_scim.render import timestamp

GROUPS = "SELECT id, version, created_at, modified_at, resource FROM groups WHERE tenant_id = $1 ORDER BY id"
USERS = "SELECT group_id, member_id FROM members WHERE tenant_id = $1 ORDER BY group_id, member_id"
NESTED = "SELECT parent_id, child_id FROM nestings WHERE tenant_id = $1 ORDER BY parent_id, child_id"
PREFETCH = 500


async def groups(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each group of the tenant: id, version, times and the SCIM document without members."""
    async for row in connection.cursor(GROUPS, tenant, prefetch=PREFETCH):
        yield (
            f'{{"id":"{row["id"]}","version":{row["version"]},"created":"{timestamp(row["created_at"])}",'
            f'"modified":"{timestamp(row["modified_at"])}","resource":{row["resource"]}}}'
        ).encode()


async def members(connection: Connection, tenant: str) -> AsyncIterator[bytes]:
    """Each membership: group and member, which is a user or a group."""
    for kind, query in ((Kind.USER, USERS), (Kind.GROUP, NESTED)):
        async for group, member in connection.cursor(query, tenant, prefetch=PREFETCH):
            yield f'{{"group":"{group}","value":"{member}","type":"{kind}"}}'.encode()
