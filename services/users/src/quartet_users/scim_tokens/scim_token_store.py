"""SQL of SCIM tokens: connection first, then the tenant; never commits."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.scim_tokens.scim_token_domain import ScimToken

COLUMNS = "id, name, scopes, client_id, hint, created_at, created_by, expires_at, last_used_at, revoked_at"


async def insert_scim_token(connection: Connection, tenant: str, token: ScimToken, token_hash: bytes) -> None:
    """Store a new token with its SHA-256."""
    await connection.execute(
        """
        INSERT INTO scim_tokens (tenant_id, id, token_hash, name, scopes, client_id, hint, created_at, created_by,
                                 expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        tenant,
        token.id,
        token_hash,
        token.name,
        sorted(token.scopes),
        token.client_id,
        token.hint,
        token.created_at,
        token.created_by,
        token.expires_at,
    )


async def find_scim_token(connection: Connection, tenant: str, token_hash: bytes) -> ScimToken | None:
    """The token with a SHA-256, also if it is revoked or expired."""
    query = f"SELECT {COLUMNS} FROM scim_tokens WHERE tenant_id = $1 AND token_hash = $2"
    row = await connection.fetchrow(query, tenant, token_hash)
    return None if row is None else _token(tenant, row)


async def read_scim_token(connection: Connection, tenant: str, token_id: UUID) -> ScimToken | None:
    """One token."""
    query = f"SELECT {COLUMNS} FROM scim_tokens WHERE tenant_id = $1 AND id = $2"
    row = await connection.fetchrow(query, tenant, token_id)
    return None if row is None else _token(tenant, row)


async def list_scim_tokens(connection: Connection, tenant: str, after: UUID, limit: int) -> list[ScimToken]:
    """At most `limit` tokens with ids after `after`, oldest first."""
    query = f"SELECT {COLUMNS} FROM scim_tokens WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
    return [_token(tenant, row) for row in await connection.fetch(query, tenant, after, limit)]


async def count_valid(connection: Connection, tenant: str, now: datetime) -> int:
    """The number of valid tokens of the tenant."""
    number: int = await connection.fetchval(
        """
        SELECT count(*) FROM scim_tokens
        WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
        """,
        tenant,
        now,
    )
    return number


async def mark_revoked(connection: Connection, tenant: str, token_id: UUID, now: datetime) -> ScimToken | None:
    """Revoke a token and return it; None if it does not exist or was revoked before."""
    row = await connection.fetchrow(
        f"""
        UPDATE scim_tokens SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL
        RETURNING {COLUMNS}
        """,
        tenant,
        token_id,
        now,
    )
    return None if row is None else _token(tenant, row)


async def delete_ended(connection: Connection, tenant: str, before: datetime) -> None:
    """Delete tokens that were revoked or expired before a time."""
    await connection.execute(
        "DELETE FROM scim_tokens WHERE tenant_id = $1 AND least(revoked_at, expires_at) < $2", tenant, before
    )


async def note_uses(connection: Connection, uses: dict[tuple[str, UUID], datetime], grain: timedelta) -> None:
    """Store the last use of tokens by tenant and id, unless a use within `grain` before is stored."""
    ordered = sorted(uses)  # all processes lock the rows in the same order
    await connection.execute(
        """
        WITH used AS (SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS one (tenant_id, id, at)),
        held AS (SELECT t.tenant_id, t.id, used.at FROM scim_tokens t JOIN used USING (tenant_id, id)
                 WHERE t.last_used_at IS NULL OR t.last_used_at <= used.at - $4::interval
                 ORDER BY t.tenant_id, t.id FOR UPDATE OF t)
        UPDATE scim_tokens t SET last_used_at = held.at FROM held WHERE t.tenant_id = held.tenant_id AND t.id = held.id
        """,
        [tenant for tenant, _ in ordered],
        [token_id for _, token_id in ordered],
        [uses[key] for key in ordered],
        grain,
    )


def _token(tenant: str, row: asyncpg.Record) -> ScimToken:
    return ScimToken(tenant, **{**row, "scopes": frozenset(row["scopes"])})


export_scim_tokens = json_rows(
    """
    SELECT id, name, scopes, client_id, hint, created_at, created_by, expires_at, last_used_at, revoked_at
    FROM scim_tokens WHERE tenant_id = $1 ORDER BY id
    """
)
