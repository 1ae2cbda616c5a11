"""SQL of roles, their scopes and locks: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from quartet_common.core.errors import HeldError
from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.roles.role_domain import Role

Row = asyncpg.Record

COLUMNS = "id, name, description, scopes, version, created_at, modified_at"

_LOCK = "hashtextextended($1, 0)"

SCOPES_OF = """
    ARRAY(SELECT DISTINCT unnest(r.scopes) FROM held_roles h
          JOIN roles r ON r.tenant_id = h.tenant_id AND r.id = h.role_id
          WHERE h.tenant_id = $1 AND h.user_id = {user})"""
"""The scopes of a user's roles, as an array."""

SCOPES_OF_ONE = SCOPES_OF.format(user="$2")


async def scopes_of_user(connection: Connection, tenant: str, user_id: UUID) -> frozenset[str]:
    """The scopes that a user has by its own roles and those of its direct and nested groups, for a new token.

    Raises HeldError while a transaction removes scopes in the tenant; `Database.run_in_turn` retries after it. Read the
    clock for the `iat` of a token before this call: if the scopes are removed in between, the token is revoked too.
    """
    if not await connection.fetchval(f"SELECT pg_try_advisory_xact_lock_shared({_LOCK})", f"scopes:{tenant}"):
        raise HeldError("postgresql")
    return await held_scopes(connection, tenant, user_id)


async def held_scopes(connection: Connection, tenant: str, user_id: UUID) -> frozenset[str]:
    """The committed scopes that a user has by its own roles and those of its direct and nested groups."""
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


async def lock_grants(connection: Connection, tenant: str) -> None:
    """Lock the roles and grants of the tenant until the transaction ends. Comes before all other locks.

    Raises HeldError if another transaction has locked them, also as `lock_grants_shared`; `Database.run_in_turn`
    retries after it.
    """
    if not await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({_LOCK})", f"grants:{tenant}"):
        raise HeldError("postgresql")


async def lock_grants_shared(connection: Connection, tenant: str) -> None:
    """Keep the roles and grants of the tenant unchanged until the transaction ends. Waits for a running change."""
    await connection.execute(f"SELECT pg_advisory_xact_lock_shared({_LOCK})", f"grants:{tenant}")


async def lock_scopes(connection: Connection, tenant: str) -> None:
    """Block transactions that read scopes for a token (`scopes_of_user`) until this one, which removes some, ends."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})", f"scopes:{tenant}")


async def insert_role(connection: Connection, tenant: str, role: Role) -> bool:
    """Store a new role; False if another role of the tenant has the name, in any case."""
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
    """Store a changed role; False if another role has the name: the transaction has failed then."""
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
    """Delete a role and its grants."""
    await connection.execute("DELETE FROM roles WHERE tenant_id = $1 AND id = $2", tenant, role_id)


async def count_roles(connection: Connection, tenant: str) -> int:
    """The number of roles of the tenant."""
    return int(await connection.fetchval("SELECT count(*) FROM roles WHERE tenant_id = $1", tenant))


async def read_role(connection: Connection, tenant: str, role_id: UUID) -> Role | None:
    """One role."""
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM roles WHERE tenant_id = $1 AND id = $2", tenant, role_id)
    return None if row is None else _role(row)


async def read_roles(connection: Connection, tenant: str, after: UUID, limit: int) -> list[Role]:
    """Roles after an id, in the order of their ids, which is that of their creation."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM roles WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3", tenant, after, limit
    )
    return [_role(row) for row in rows]


async def count_change(connection: Connection, tenant: str, role_id: UUID) -> int:
    """Increase the version of a role, for a new or deleted grant, and return it."""
    return int(
        await connection.fetchval(
            "UPDATE roles SET version = version + 1 WHERE tenant_id = $1 AND id = $2 RETURNING version", tenant, role_id
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
