"""SQL of SCIM tokens: connection first, then the tenant; never commits."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.scim_tokens.scim_token_domain import ScimToken

COLUMNS = "id, name, scopes, client_id, hint, created_at, created_by, expires_at, last_used_at, revoked_at"


def token_of(tenant: str, row: asyncpg.Record) -> ScimToken:
    """The token of a row of COLUMNS."""
    return ScimToken(tenant, **{**row, "scopes": frozenset(row["scopes"])})


async def insert_scim_token(
    connection: Connection,
    tenant: str,
    token_id: UUID,
    token_hash: bytes,
    *,
    name: str,
    scopes: Sequence[str],
    client_id: str | None,
    hint: str,
    created_at: datetime,
    created_by: str,
    expires_at: datetime | None,
) -> None:
    """Store a new token by its SHA-256."""
    await connection.execute(
        """
        INSERT INTO scim_tokens (tenant_id, id, token_hash, name, scopes, client_id, hint, created_at, created_by,
                                 expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        tenant,
        token_id,
        token_hash,
        name,
        scopes,
        client_id,
        hint,
        created_at,
        created_by,
        expires_at,
    )


async def find_scim_token(connection: Connection, tenant: str, token_hash: bytes) -> asyncpg.Record | None:
    """The token with that SHA-256, revoked and expired ones too."""
    return await connection.fetchrow(
        f"SELECT {COLUMNS} FROM scim_tokens WHERE tenant_id = $1 AND token_hash = $2", tenant, token_hash
    )


async def read_scim_token(connection: Connection, tenant: str, token_id: UUID) -> asyncpg.Record | None:
    """One token."""
    return await connection.fetchrow(
        f"SELECT {COLUMNS} FROM scim_tokens WHERE tenant_id = $1 AND id = $2", tenant, token_id
    )


async def list_scim_tokens(connection: Connection, tenant: str, after: UUID, limit: int) -> list[asyncpg.Record]:
    """At most `limit` tokens that were made after the one with the id `after`, oldest first."""
    return await connection.fetch(
        f"SELECT {COLUMNS} FROM scim_tokens WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        tenant,
        after,
        limit,
    )


async def count_valid(connection: Connection, tenant: str, now: datetime) -> int:
    """How many tokens of the tenant can be used."""
    number: int = await connection.fetchval(
        """
        SELECT count(*) FROM scim_tokens
        WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
        """,
        tenant,
        now,
    )
    return number


async def mark_revoked(connection: Connection, tenant: str, token_id: UUID, now: datetime) -> asyncpg.Record | None:
    """Revoke the token; None when there is none that was not revoked before."""
    return await connection.fetchrow(
        f"""
        UPDATE scim_tokens SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL
        RETURNING {COLUMNS}
        """,
        tenant,
        token_id,
        now,
    )


async def forget_ended(connection: Connection, tenant: str, before: datetime) -> None:
    """Remove what was revoked or has expired before then."""
    await connection.execute(
        "DELETE FROM scim_tokens WHERE tenant_id = $1 AND least(revoked_at, expires_at) < $2", tenant, before
    )


async def note_uses(connection: Connection, uses: dict[tuple[str, UUID], datetime], grain: timedelta) -> None:
    """Store when tokens, given by tenant and id, were used, unless a use within `grain` before is known already."""
    ordered = sorted(uses)  # two processes that write at once lock the rows in one order
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


export_scim_tokens = json_rows(
    """
    SELECT id, name, scopes, client_id, hint, created_at, created_by, expires_at, last_used_at, revoked_at
    FROM scim_tokens WHERE tenant_id = $1 ORDER BY id
    """
)
