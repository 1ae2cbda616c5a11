"""SQL of grants of roles: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.roles.role_domain import TENANT_ADMIN, GranteeType

Row = asyncpg.Record

GRANTS = """
    SELECT g.grantee_type, g.grantee_id, g.granted_at, g.granted_by,
           coalesce(k.display, u.resource ->> 'displayName', u.resource ->> 'userName') AS display
    FROM role_grants g
    LEFT JOIN known_groups k ON k.tenant_id = g.tenant_id AND k.id = g.grantee_id AND g.grantee_type = 'Group'
    LEFT JOIN users u ON u.tenant_id = g.tenant_id AND u.id = g.user_id
    WHERE g.tenant_id = $1 AND g.role_id = $2"""


async def user_exists(connection: Connection, tenant: str, user_id: UUID) -> bool:
    """Whether the tenant has a user with an id."""
    query = "SELECT EXISTS (SELECT FROM users WHERE tenant_id = $1 AND id = $2)"
    return bool(await connection.fetchval(query, tenant, user_id))


async def grant(
    connection: Connection,
    tenant: str,
    role_id: UUID,
    grantee_type: GranteeType,
    grantee_id: UUID,
    now: datetime,
    by: str,
) -> bool:
    """Store a grant by the actor `by`; False if the grantee has the role.

    Raises asyncpg's ForeignKeyViolationError for a user or a role that does not exist.
    """
    result = await connection.fetchval(
        """
        INSERT INTO role_grants (tenant_id, grantee_id, role_id, grantee_type, granted_at, granted_by)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true
        """,
        tenant,
        grantee_id,
        role_id,
        grantee_type,
        now,
        by,
    )
    return bool(result)


async def revoke(connection: Connection, tenant: str, role_id: UUID, grantee_id: UUID) -> None:
    """Delete a grant."""
    query = "DELETE FROM role_grants WHERE tenant_id = $1 AND role_id = $2 AND grantee_id = $3"
    await connection.execute(query, tenant, role_id, grantee_id)


async def delete_grants_of_groups(connection: Connection, tenant: str, groups: Sequence[UUID]) -> None:
    """Delete the grants of deleted groups; a foreign key deletes those of users."""
    await connection.execute(
        "DELETE FROM role_grants WHERE tenant_id = $1 AND grantee_id = ANY($2::uuid[])", tenant, list(groups)
    )


async def read_grantees(
    connection: Connection, tenant: str, role_id: UUID, grantee_id: UUID | None = None
) -> dict[GranteeType, list[UUID]]:
    """The grantees of a role by type: all of them, or `grantee_id` if it has the role."""
    rows = await connection.fetch(
        """
        SELECT grantee_type, grantee_id FROM role_grants
        WHERE tenant_id = $1 AND role_id = $2 AND grantee_id = coalesce($3, grantee_id)
        """,
        tenant,
        role_id,
        grantee_id,
    )
    found: dict[GranteeType, list[UUID]] = {"User": [], "Group": []}
    for row in rows:
        found[row["grantee_type"]].append(row["grantee_id"])
    return found


async def find_grantee(connection: Connection, tenant: str, role_id: UUID, grantee_id: UUID) -> GranteeType | None:
    """The type of a grantee; None if it does not have the role."""
    query = "SELECT grantee_type FROM role_grants WHERE tenant_id = $1 AND role_id = $2 AND grantee_id = $3"
    found: GranteeType | None = await connection.fetchval(query, tenant, role_id, grantee_id)
    return found


async def read_grants(
    connection: Connection, tenant: str, role_id: UUID, after: UUID, limit: int
) -> list[asyncpg.Record]:
    """Grants of a role with the columns of `GRANTS`, in the order of their grantees."""
    return await connection.fetch(
        f"{GRANTS} AND g.grantee_id > $3 ORDER BY g.grantee_id LIMIT $4", tenant, role_id, after, limit
    )


async def read_grant(connection: Connection, tenant: str, role_id: UUID, grantee_id: UUID) -> asyncpg.Record | None:
    """One grant with the columns of `GRANTS`."""
    return await connection.fetchrow(f"{GRANTS} AND g.grantee_id = $3", tenant, role_id, grantee_id)


async def read_ways(connection: Connection, tenant: str, user_id: UUID) -> list[asyncpg.Record]:
    """`id, name, scopes, group_id, display` of each role of a user by each grantee; `group_id` is None for the user."""
    return await connection.fetch(
        """
        SELECT DISTINCT r.id, r.name, r.scopes, h.group_id, k.display FROM held_roles h
        JOIN roles r ON r.tenant_id = h.tenant_id AND r.id = h.role_id
        LEFT JOIN known_groups k ON k.tenant_id = h.tenant_id AND k.id = h.group_id
        WHERE h.tenant_id = $1 AND h.user_id = $2 ORDER BY r.id, h.group_id NULLS FIRST
        """,
        tenant,
        user_id,
    )


async def lock_grantee_user(connection: Connection, tenant: str, user_id: UUID) -> bool:
    """Whether the user exists; locks the row against deletion until the transaction ends."""
    query = "SELECT true FROM users WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE"
    return bool(await connection.fetchval(query, tenant, user_id))


async def lock_grantee_group(connection: Connection, tenant: str, group_id: UUID) -> bool | None:
    """Whether the group exists; locks its row until the transaction ends. None for a group that no event has named."""
    query = "SELECT NOT deleted FROM known_groups WHERE tenant_id = $1 AND id = $2 FOR SHARE"
    found: bool | None = await connection.fetchval(query, tenant, group_id)
    return found


async def has_administrator(connection: Connection, tenant: str) -> bool:
    """Whether an active user has the scope tenant:admin by a role."""
    return bool(
        await connection.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM roles r
                JOIN held_roles h ON h.tenant_id = r.tenant_id AND h.role_id = r.id
                JOIN users u ON u.tenant_id = h.tenant_id AND u.id = h.user_id
                WHERE r.tenant_id = $1 AND $2 = ANY(r.scopes) AND u.resource -> 'active' IS DISTINCT FROM 'false')
            """,
            tenant,
            TENANT_ADMIN,
        )
    )


export_grants = json_rows(
    """
    SELECT role_id, grantee_type, grantee_id, granted_at, granted_by FROM role_grants
    WHERE tenant_id = $1 ORDER BY grantee_id, role_id
    """
)
