"""SQL of tenants: connection first, then the tenant; never commits."""

import asyncpg

from quartet_common.core.identifiers import TENANT_ID
from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.tenants.tenant_domain import Status, Tenant

COLUMNS = "tenant_id, display_name, status, version, created_at, modified_at"


async def insert_tenant(connection: Connection, tenant: Tenant) -> bool:
    """Store a new tenant; False if a tenant, also a deleted one, has its id."""
    return bool(
        await connection.fetchval(
            f"""
            INSERT INTO tenants ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING true
            """,
            tenant.id,
            tenant.display_name,
            tenant.status,
            tenant.version,
            tenant.created,
            tenant.modified,
        )
    )


async def lock_tenant(connection: Connection, tenant: str) -> Tenant | None:
    """The tenant, locked until the transaction ends."""
    if TENANT_ID.fullmatch(tenant) is None:
        return None
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM tenants WHERE tenant_id = $1 FOR UPDATE", tenant)
    return None if row is None else _tenant(row)


async def read_tenant(connection: Connection, tenant: str) -> Tenant | None:
    """The tenant, also a deleted one."""
    if TENANT_ID.fullmatch(tenant) is None:
        return None
    row = await connection.fetchrow(f"SELECT {COLUMNS} FROM tenants WHERE tenant_id = $1", tenant)
    return None if row is None else _tenant(row)


async def update_tenant(connection: Connection, tenant: Tenant) -> None:
    """Store a changed tenant whose row is locked."""
    await connection.execute(
        "UPDATE tenants SET display_name = $2, status = $3, version = $4, modified_at = $5 WHERE tenant_id = $1",
        tenant.id,
        tenant.display_name,
        tenant.status,
        tenant.version,
        tenant.modified,
    )


async def list_tenants(connection: Connection, status: Status | None, after: str, count: int) -> list[Tenant]:
    """At most `count` tenants with `status` (None: any) and ids after `after`, in the order of their ids."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM tenants WHERE tenant_id > $1 AND ($2::text IS NULL OR status = $2)
        ORDER BY tenant_id LIMIT $3
        """,
        after,
        status,
        count,
    )
    return [_tenant(row) for row in rows]


def _tenant(row: asyncpg.Record) -> Tenant:
    return Tenant(*row)


export_tenant = json_rows(
    """
    SELECT tenant_id AS id, display_name, status, version, created_at, modified_at FROM tenants WHERE tenant_id = $1
    """
)
