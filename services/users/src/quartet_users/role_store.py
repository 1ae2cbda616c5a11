"""SQL of roles: connection first, then the tenant; never commits."""

from uuid import UUID

from quartet_common.database import Connection


async def scopes_of_user(connection: Connection, tenant: str, user_id: UUID) -> frozenset[str]:
    """The scopes that a user has by roles of its own and of its groups, direct and nested."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT unnest(r.scopes) AS scope FROM role_grants g
        JOIN roles r ON r.tenant_id = g.tenant_id AND r.id = g.role_id
        WHERE g.tenant_id = $1 AND g.grantee_id IN (
            SELECT $2::uuid UNION ALL SELECT group_id FROM belongings WHERE tenant_id = $1 AND user_id = $2)
        """,
        tenant,
        user_id,
    )
    return frozenset(row["scope"] for row in rows)
