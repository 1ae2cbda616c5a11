"""SQL of marks: the groups with roles that the groups service has not marked yet; connection first; never commits."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection


async def find_unmarked(connection: Connection, limit: int, without: Collection[str] = ()) -> list[asyncpg.Record]:
    """`tenant_id, grantee_id` of groups with a role but no confirmed mark, except those of the tenants `without`."""
    return await connection.fetch(
        """
        SELECT DISTINCT tenant_id, grantee_id FROM role_grants
        WHERE grantee_type = 'Group' AND marked_at IS NULL AND tenant_id <> ALL($2::text[])
        ORDER BY tenant_id, grantee_id LIMIT $1
        """,
        limit,
        list(without),
    )


async def note_marked(connection: Connection, tenant: str, groups: Sequence[UUID], now: datetime) -> None:
    """Store that the groups service has marked `groups`."""
    await connection.execute(
        """
        UPDATE role_grants SET marked_at = $3
        WHERE tenant_id = $1 AND grantee_id = ANY($2::uuid[]) AND grantee_type = 'Group' AND marked_at IS NULL
        """,
        tenant,
        groups,
        now,
    )
