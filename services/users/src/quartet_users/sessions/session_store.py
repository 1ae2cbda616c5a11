"""SQL of sessions and refresh tokens: connection first, then the tenant; never commits.

Locks of several rows: first the user, then its sessions in the order of their ids.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from quartet_common.auth.opaque_tokens import digest, family_of
from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows


@dataclass(frozen=True)
class Session:
    """A session; it ends at `ends_at` unless it is used before, and at `expires_at` in any case."""

    id: UUID
    user_id: UUID
    client_id: str
    created_at: datetime
    last_used_at: datetime
    ends_at: datetime
    expires_at: datetime
    source_address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True)
class TokenHashes:
    """The stored hashes of a refresh token: its SHA-256, and that of the prefix of all tokens of its session."""

    own: bytes
    family: bytes

    @classmethod
    def of(cls, token: str) -> "TokenHashes":
        """The hashes of a token of `make` or `make_next`."""
        return cls(digest(token), digest(family_of(token)))


COLUMNS = "id, user_id, client_id, created_at, last_used_at, ends_at, expires_at, source_address, user_agent"


async def insert_session(connection: Connection, tenant: str, session: Session) -> None:
    """Store a new session."""
    await connection.execute(
        f"INSERT INTO sessions (tenant_id, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        tenant,
        session.id,
        session.user_id,
        session.client_id,
        session.created_at,
        session.last_used_at,
        session.ends_at,
        session.expires_at,
        session.source_address,
        session.user_agent,
    )


async def lock_session(connection: Connection, tenant: str, session_id: UUID) -> Session | None:
    """The session, locked until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {COLUMNS} FROM sessions WHERE tenant_id = $1 AND id = $2 FOR UPDATE", tenant, session_id
    )
    return None if row is None else Session(*row)


async def use_session(connection: Connection, tenant: str, session: Session) -> None:
    """Store when a session whose row is locked was last used, and when it ends."""
    await connection.execute(
        "UPDATE sessions SET last_used_at = $3, ends_at = $4 WHERE tenant_id = $1 AND id = $2",
        tenant,
        session.id,
        session.last_used_at,
        session.ends_at,
    )


async def list_sessions(
    connection: Connection, tenant: str, user_id: UUID, now: datetime, before: UUID, count: int
) -> list[Session]:
    """At most `count` running sessions of a user with ids before `before`, newest first."""
    rows = await connection.fetch(
        f"""
        SELECT {COLUMNS} FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND ends_at > $3 AND id < $4
        ORDER BY id DESC LIMIT $5
        """,
        tenant,
        user_id,
        now,
        before,
        count,
    )
    return [Session(*row) for row in rows]


async def find_owner(connection: Connection, tenant: str, session_id: UUID) -> UUID | None:
    """The user of a session; None if the tenant has no such session."""
    query = "SELECT user_id FROM sessions WHERE tenant_id = $1 AND id = $2"
    found: UUID | None = await connection.fetchval(query, tenant, session_id)
    return found


async def delete_session(connection: Connection, tenant: str, session_id: UUID, user_id: UUID | None) -> Session | None:
    """Delete a session and its refresh tokens, if it belongs to `user_id` (None: to any user), and return it."""
    row = await connection.fetchrow(
        f"""
        DELETE FROM sessions WHERE tenant_id = $1 AND id = $2 AND ($3::uuid IS NULL OR user_id = $3)
        RETURNING {COLUMNS}
        """,
        tenant,
        session_id,
        user_id,
    )
    return None if row is None else Session(*row)


async def lock_user_row(connection: Connection, tenant: str, user_id: UUID) -> bool:
    """Lock a user until the transaction ends; False if it does not exist."""
    query = "SELECT true FROM users WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
    return bool(await connection.fetchval(query, tenant, user_id))


async def delete_sessions_of(
    connection: Connection, tenant: str, user_id: UUID, kept: UUID | None = None
) -> list[Session]:
    """Delete all sessions of a user except `kept`, and return them."""
    rows = await connection.fetch(
        f"""
        DELETE FROM sessions WHERE tenant_id = $1 AND id IN (
            SELECT id FROM sessions WHERE tenant_id = $1 AND user_id = $2 AND id IS DISTINCT FROM $3
            ORDER BY id FOR UPDATE)
        RETURNING {COLUMNS}
        """,
        tenant,
        user_id,
        kept,
    )
    return [Session(*row) for row in rows]


async def delete_oldest_of(connection: Connection, tenant: str, user_id: UUID, kept: int) -> list[Session]:
    """Delete all but the `kept` newest sessions of a user, except those locked by others, and return them."""
    rows = await connection.fetch(
        f"""
        DELETE FROM sessions WHERE tenant_id = $1 AND id IN (
            SELECT id FROM sessions WHERE tenant_id = $1 AND user_id = $2
            ORDER BY id DESC OFFSET $3 FOR UPDATE SKIP LOCKED)
        RETURNING {COLUMNS}
        """,
        tenant,
        user_id,
        kept,
    )
    return [Session(*row) for row in rows]


async def delete_user(connection: Connection, tenant: str, user_id: UUID) -> list[Session]:
    """Delete a user with its password and sessions by one statement, and return the sessions."""
    rows = await connection.fetch(
        f"""
        WITH ended AS (DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2 RETURNING {COLUMNS}),
             gone AS (DELETE FROM users WHERE tenant_id = $1 AND id = $2)
        SELECT {COLUMNS} FROM ended
        """,
        tenant,
        user_id,
    )
    return [Session(*row) for row in rows]


async def delete_ended(connection: Connection, now: datetime, count: int) -> list[tuple[str, Session]]:
    """Delete at most `count` sessions of all tenants that have ended; returns them with their tenants."""
    rows = await connection.fetch(
        f"""
        DELETE FROM sessions WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM sessions WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        RETURNING tenant_id, {COLUMNS}
        """,
        now,
        count,
    )
    return [(tenant, Session(*rest)) for tenant, *rest in rows]


async def insert_refresh_token(
    connection: Connection, tenant: str, token: TokenHashes, session_id: UUID, now: datetime
) -> None:
    """Store a session's first refresh token."""
    await connection.execute(
        """
        INSERT INTO refresh_tokens (tenant_id, token_hash, family_hash, session_id, issued_at)
        VALUES ($1, $2, $3, $4, $5)
        """,
        tenant,
        token.own,
        token.family,
        session_id,
        now,
    )


async def find_refresh_token(connection: Connection, tenant: str, token: TokenHashes) -> asyncpg.Record | None:
    """A refresh token, also a used one, with its session: `is_unused`, `issued_at` (of the session's unused token),
    `session_id, user_id, client_id, ends_at`. None if no session has tokens of this family.
    """
    return await connection.fetchrow(
        """
        SELECT r.token_hash = $2 AND r.used_at IS NULL AS is_unused, r.issued_at,
               r.session_id, s.user_id, s.client_id, s.ends_at
        FROM refresh_tokens r JOIN sessions s ON s.tenant_id = r.tenant_id AND s.id = r.session_id
        WHERE r.tenant_id = $1 AND (r.token_hash = $2 OR r.family_hash = $3)
        """,
        tenant,
        token.own,
        token.family,
    )


async def replace_refresh_token(
    connection: Connection, tenant: str, used: TokenHashes, following: TokenHashes, now: datetime
) -> None:
    """Replace a used refresh token by the following one of its family."""
    await connection.execute(
        """
        UPDATE refresh_tokens SET token_hash = $3, family_hash = $4, issued_at = $5
        WHERE tenant_id = $1 AND token_hash = $2
        """,
        tenant,
        used.own,
        following.own,
        following.family,
        now,
    )


export_sessions = json_rows(
    """
    SELECT id, user_id, client_id, created_at, last_used_at, ends_at, expires_at, source_address, user_agent
    FROM sessions WHERE tenant_id = $1 ORDER BY id
    """
)
