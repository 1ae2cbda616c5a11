"""SQL of roles and of what is given by them: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.core.errors import HeldError
from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.roles.role_domain import TENANT_ADMIN, GranteeType, Role

Row = asyncpg.Record

COLUMNS = "id, name, description, scopes, version, created_at, modified_at"

_LOCK = "hashtextextended($1, 0)"

SCOPES_OF = """
    ARRAY(SELECT DISTINCT unnest(r.scopes) FROM held_roles h
          JOIN roles r ON r.tenant_id = h.tenant_id AND r.id = h.role_id
          WHERE h.tenant_id = $1 AND h.user_id = {user})"""
"""The scopes that a user has by roles, as an array."""

SCOPES_OF_ONE = SCOPES_OF.format(user="$2")

GRANTS = """
    SELECT g.grantee_type, g.grantee_id, g.granted_at, g.granted_by,
           coalesce(k.display, u.resource ->> 'displayName', u.resource ->> 'userName') AS display
    FROM role_grants g
    LEFT JOIN known_groups k ON k.tenant_id = g.tenant_id AND k.id = g.grantee_id AND g.grantee_type = 'Group'
    LEFT JOIN users u ON u.tenant_id = g.tenant_id AND u.id = g.user_id
    WHERE g.tenant_id = $1 AND g.role_id = $2"""


async def user_exists(connection: Connection, tenant: str, user_id: UUID) -> bool:
    """Whether the tenant has a user of that id."""
    query = "SELECT EXISTS (SELECT FROM users WHERE tenant_id = $1 AND id = $2)"
    return bool(await connection.fetchval(query, tenant, user_id))


async def scopes_of_user(connection: Connection, tenant: str, user_id: UUID) -> frozenset[str]:
    """The scopes that a user has by roles of its own and of its groups, direct and nested.

    Raises HeldError while a change takes scopes away: `run_in_turn` waits for its end. Whoever gives a token for them
    reads the clock for the token's `iat` first: if the scopes are lost in the meantime, the token is then among those
    that are revoked.
    """
    if not await connection.fetchval(f"SELECT pg_try_advisory_xact_lock_shared({_LOCK})", f"scopes:{tenant}"):
        raise HeldError("postgresql")
    return await held_scopes(connection, tenant, user_id)


async def held_scopes(connection: Connection, tenant: str, user_id: UUID) -> frozenset[str]:
    """The scopes that a user has by roles of its own and of its groups, direct and nested, as committed now."""
    return frozenset(await connection.fetchval(f"SELECT {SCOPES_OF_ONE}", tenant, user_id))


async def scopes_of_groups(connection: Connection, tenant: str, groups: Sequence[UUID]) -> list[str]:
    """The scopes of the roles that are granted to `groups` themselves, not to groups above them."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT unnest(r.scopes) AS scope FROM role_grants g
        JOIN roles r ON r.tenant_id = g.tenant_id AND r.id = g.role_id
        WHERE g.tenant_id = $1 AND g.grantee_id = ANY($2::uuid[]) AND g.grantee_type = 'Group' ORDER BY scope
        """,
        tenant,
        groups,
    )
    return [row["scope"] for row in rows]


async def take_grants(connection: Connection, tenant: str) -> None:
    """Keep others from changing the tenant's roles until this transaction has ended. Is taken before all other locks.

    Raises HeldError while somebody else does, or takes in who has left groups: `run_in_turn` waits for their end.
    """
    if not await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({_LOCK})", f"grants:{tenant}"):
        raise HeldError("postgresql")


async def share_grants(connection: Connection, tenant: str) -> None:
    """Wait for who changes the tenant's roles, and keep others from it until this transaction has ended."""
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({_LOCK})", f"grants:{tenant}")


async def lock_scopes(connection: Connection, tenant: str) -> None:
    """Have whoever gives tokens to the tenant's people wait until this transaction has taken scopes away."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})", f"scopes:{tenant}")


async def insert_role(connection: Connection, tenant: str, role: Role) -> bool:
    """Store a new role; False when its name is taken in the tenant, whatever its case."""
    result = await connection.fetchval(
        f"""
        INSERT INTO roles (tenant_id, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (tenant_id, lower(name)) DO NOTHING RETURNING true
        """,
        tenant,
        role.id,
        role.name,
        role.description,
        sorted(role.scopes),
        role.version,
        role.created,
        role.modified,
    )
    return bool(result)


async def update_role(connection: Connection, tenant: str, role: Role) -> bool:
    """Store a changed role; False when its new name is taken: the transaction cannot go on."""
    try:
        await connection.execute(
            """
            UPDATE roles SET name = $3, description = $4, scopes = $5, version = $6, modified_at = $7
            WHERE tenant_id = $1 AND id = $2
            """,
            tenant,
            role.id,
            role.name,
            role.description,
            sorted(role.scopes),
            role.version,
            role.modified,
        )
    except asyncpg.UniqueViolationError:
        return False
    return True


async def delete_role(connection: Connection, tenant: str, role_id: UUID) -> None:
    """Remove a role and its grants."""
    await connection.execute("DELETE FROM roles WHERE tenant_id = $1 AND id = $2", tenant, role_id)


async def count_roles(connection: Connection, tenant: str) -> int:
    """How many roles the tenant has."""
    return int(await connection.fetchval("SELECT count(*) FROM roles WHERE tenant_id = $1", tenant))


async def read_role(connection: Connection, tenant: str, role_id: UUID) -> Role | None:
    """One role."""
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM roles WHERE tenant_id = $1 AND id = $2", tenant, role_id)
    return None if row is None else _role(row)


async def find_role(connection: Connection, tenant: str, name: str) -> Role | None:
    """The role of that name, whatever its case."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM roles WHERE tenant_id = $1 AND lower(name) = lower($2)", tenant, name
    )
    return None if row is None else _role(row)


async def read_roles(connection: Connection, tenant: str, after: UUID, limit: int) -> list[Role]:
    """Roles in the order of their ids, which is that of their making."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM roles WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3", tenant, after, limit
    )
    return [_role(row) for row in rows]


async def grant(
    connection: Connection,
    tenant: str,
    role_id: UUID,
    grantee_type: GranteeType,
    grantee_id: UUID,
    now: datetime,
    by: str,
) -> bool:
    """Give a role; False when the grantee has it. `by` is the actor who gives it.

    Raises asyncpg's ForeignKeyViolationError for a user or a role that is not there.
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
    """Take a role from a grantee."""
    query = "DELETE FROM role_grants WHERE tenant_id = $1 AND role_id = $2 AND grantee_id = $3"
    await connection.execute(query, tenant, role_id, grantee_id)


async def forget_grantees(connection: Connection, tenant: str, groups: Sequence[UUID]) -> None:
    """Remove the grants to groups that are deleted. Those to a user go with the user."""
    await connection.execute(
        "DELETE FROM role_grants WHERE tenant_id = $1 AND grantee_id = ANY($2::uuid[])", tenant, list(groups)
    )


async def count_change(connection: Connection, tenant: str, role_id: UUID) -> int:
    """Count one version of a role further, for a grant that was made or taken, and return it."""
    return int(
        await connection.fetchval(
            "UPDATE roles SET version = version + 1 WHERE tenant_id = $1 AND id = $2 RETURNING version", tenant, role_id
        )
    )


async def read_grantees(
    connection: Connection, tenant: str, role_id: UUID, grantee_id: UUID | None = None
) -> dict[GranteeType, list[UUID]]:
    """To whom a role is given, all or that one, by type."""
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
    """What the grantee is that has the role; None when it does not have it."""
    query = "SELECT grantee_type FROM role_grants WHERE tenant_id = $1 AND role_id = $2 AND grantee_id = $3"
    found: GranteeType | None = await connection.fetchval(query, tenant, role_id, grantee_id)
    return found


async def read_grants(
    connection: Connection, tenant: str, role_id: UUID, after: UUID, limit: int
) -> list[asyncpg.Record]:
    """A role's grants as `GRANTS` shows them, in the order of the grantees."""
    return await connection.fetch(
        f"{GRANTS} AND g.grantee_id > $3 ORDER BY g.grantee_id LIMIT $4", tenant, role_id, after, limit
    )


async def read_grant(connection: Connection, tenant: str, role_id: UUID, grantee_id: UUID) -> asyncpg.Record | None:
    """One grant as `GRANTS` shows it."""
    return await connection.fetchrow(f"{GRANTS} AND g.grantee_id = $3", tenant, role_id, grantee_id)


async def read_ways(connection: Connection, tenant: str, user_id: UUID) -> list[asyncpg.Record]:
    """`id, name, scopes, group_id, display`: each way by which a user has a role; `group_id` is None for its own."""
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


async def hold_user(connection: Connection, tenant: str, user_id: UUID) -> bool:
    """Whether the user is there, and stays until the transaction ends."""
    query = "SELECT true FROM users WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE"
    return bool(await connection.fetchval(query, tenant, user_id))


async def hold_group(connection: Connection, tenant: str, group_id: UUID) -> bool | None:
    """Whether the group is there, and is not known to be deleted until the transaction ends; None: never heard of."""
    query = "SELECT NOT deleted FROM known_groups WHERE tenant_id = $1 AND id = $2 FOR SHARE"
    found: bool | None = await connection.fetchval(query, tenant, group_id)
    return found


async def has_administrator(connection: Connection, tenant: str) -> bool:
    """Whether any active user has the scope tenant:admin by a role."""
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


def _role(row: asyncpg.Record) -> Role:
    return Role(
        row["id"],
        row["name"],
        row["description"],
        frozenset(row["scopes"]),
        row["version"],
        row["created_at"],
        row["modified_at"],
    )


export_roles = json_rows(
    """
    SELECT id, name, description, scopes, version, created_at, modified_at FROM roles
    WHERE tenant_id = $1 ORDER BY id
    """
)

export_grants = json_rows(
    """
    SELECT role_id, grantee_type, grantee_id, granted_at, granted_by FROM role_grants
    WHERE tenant_id = $1 ORDER BY grantee_id, role_id
    """
)
