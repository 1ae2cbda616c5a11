"""SQL of origins: connection first, then the tenant; never commits."""

from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.origins.origin_domain import Origin


async def insert_origin(connection: Connection, tenant: str, origin: Origin) -> None:
    """Store a new origin."""
    await connection.execute(
        "INSERT INTO origins (tenant_id, id, origin, created_at, created_by) VALUES ($1, $2, $3, $4, $5)",
        tenant,
        origin.id,
        origin.origin,
        origin.created_at,
        origin.created_by,
    )


async def list_origins(connection: Connection, tenant: str, after: UUID, limit: int) -> list[Origin]:
    """At most `limit` origins with ids after `after`, oldest first."""
    rows = await connection.fetch(
        """
        SELECT id, origin, created_at, created_by FROM origins WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3
        """,
        tenant,
        after,
        limit,
    )
    return [_origin(row) for row in rows]


async def read_origin(connection: Connection, tenant: str, origin_id: UUID) -> Origin | None:
    """One origin."""
    row = await connection.fetchrow(
        "SELECT id, origin, created_at, created_by FROM origins WHERE tenant_id = $1 AND id = $2", tenant, origin_id
    )
    return None if row is None else _origin(row)


async def delete_origin(connection: Connection, tenant: str, origin_id: UUID) -> Origin | None:
    """Delete an origin and return it; None if there is none."""
    row = await connection.fetchrow(
        "DELETE FROM origins WHERE tenant_id = $1 AND id = $2 RETURNING id, origin, created_at, created_by",
        tenant,
        origin_id,
    )
    return None if row is None else _origin(row)


def _origin(row: asyncpg.Record) -> Origin:
    return Origin(**row)


export_origins = json_rows("SELECT id, origin, created_at, created_by FROM origins WHERE tenant_id = $1 ORDER BY id")
