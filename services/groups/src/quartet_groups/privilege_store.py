"""SQL of privileged groups, which may have roles: connection first, then the tenant; never commits."""

from collections.abc import Collection, Sequence
from uuid import UUID

from quartet_common.data.connections import Connection
from quartet_groups.graph_store import UPWARD

UNMARK_AFTER = "1 hour"
"""Minimum age of a mark that may be deleted: by then the grant that it was set for is committed or has failed."""


async def mark(connection: Connection, tenant: str, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Mark the groups among `ids`, and return them with their names."""
    rows = await connection.fetch(
        """
        WITH found AS (
            SELECT id, display_name FROM groups WHERE tenant_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR KEY SHARE
        ),
        marked AS (
            INSERT INTO privileged_groups (tenant_id, group_id, marked_at) SELECT $1, id, now() FROM found
            ON CONFLICT (tenant_id, group_id) DO UPDATE SET marked_at = now()
        )
        SELECT id, display_name FROM found
        """,
        tenant,
        ids,
    )
    return {row["id"]: row["display_name"] for row in rows}


async def unmark(connection: Connection, tenant: str, ids: Collection[UUID]) -> None:
    """Delete the marks of groups without roles, except recent ones."""
    await connection.execute(
        f"""
        DELETE FROM privileged_groups WHERE tenant_id = $1 AND group_id = ANY($2::uuid[])
        AND marked_at < now() - interval '{UNMARK_AFTER}'
        """,
        tenant,
        list(ids),
    )


async def marked_above(connection: Connection, tenant: str, group_id: UUID) -> frozenset[UUID]:
    """The marked groups among a group and its ancestors, whose roles all its members have."""
    rows = await connection.fetch(
        f"""
        WITH RECURSIVE reached (id) AS (SELECT $2::uuid UNION {UPWARD})
        SELECT p.group_id FROM reached CROSS JOIN LATERAL (
            SELECT group_id FROM privileged_groups WHERE tenant_id = $1 AND group_id = reached.id OFFSET 0) AS p
        """,
        tenant,
        group_id,
    )
    return frozenset(row["group_id"] for row in rows)
