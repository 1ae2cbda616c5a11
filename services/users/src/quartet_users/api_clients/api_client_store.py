"""SQL of API clients, their secrets and used assertions: connection first, then the tenant; never commits."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import json_rows
from quartet_users.api_clients.api_client_domain import ApiClient

COLUMNS = (
    "id, name, scopes, authentication, jwks, version, created_at, created_by, modified_at, expires_at, last_used_at"
)
SECRET_COLUMNS = "id, hint, created_at, expires_at, last_used_at"  # noqa: S105  # names of columns


async def lock_clients(connection: Connection, tenant: str) -> None:
    """Block other transactions that create clients of the tenant until this one ends, so that they can be counted."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"clients:{tenant}")


async def count_clients(connection: Connection, tenant: str) -> int:
    """The number of clients of the tenant."""
    return int(await connection.fetchval("SELECT count(*) FROM clients WHERE tenant_id = $1", tenant))


async def insert_client(connection: Connection, tenant: str, client: ApiClient) -> None:
    """Store a new client."""
    await connection.execute(
        """
        INSERT INTO clients (tenant_id, id, name, scopes, authentication, jwks, version, created_at, created_by,
                             modified_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        tenant,
        client.id,
        client.name,
        sorted(client.scopes),
        client.authentication,
        _json(client.jwks),
        client.version,
        client.created_at,
        client.created_by,
        client.modified_at,
        client.expires_at,
    )


async def read_client(connection: Connection, tenant: str, client_id: str) -> ApiClient | None:
    """One client."""
    query = f"SELECT {COLUMNS} FROM clients WHERE tenant_id = $1 AND id = $2"
    row = await connection.fetchrow(query, tenant, client_id)
    return None if row is None else _client(tenant, row)


async def lock_client(connection: Connection, tenant: str, client_id: str) -> ApiClient | None:
    """One client, locked until the transaction ends."""
    query = f"SELECT {COLUMNS} FROM clients WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
    row = await connection.fetchrow(query, tenant, client_id)
    return None if row is None else _client(tenant, row)


async def list_clients(connection: Connection, tenant: str, after: str, limit: int) -> list[ApiClient]:
    """At most `limit` clients with ids after `after`, in the order of their ids."""
    query = f"SELECT {COLUMNS} FROM clients WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
    return [_client(tenant, row) for row in await connection.fetch(query, tenant, after, limit)]


async def update_client(connection: Connection, tenant: str, client: ApiClient) -> None:
    """Store a changed client whose row is locked."""
    await connection.execute(
        """
        UPDATE clients SET name = $3, scopes = $4, jwks = $5, expires_at = $6, modified_at = $7, version = $8
        WHERE tenant_id = $1 AND id = $2
        """,
        tenant,
        client.id,
        client.name,
        sorted(client.scopes),
        _json(client.jwks),
        client.expires_at,
        client.modified_at,
        client.version,
    )


async def count_change(connection: Connection, tenant: str, client_id: str) -> int:
    """Increase the client's version, for a change of its secrets, and return it."""
    return int(
        await connection.fetchval(
            "UPDATE clients SET version = version + 1 WHERE tenant_id = $1 AND id = $2 RETURNING version",
            tenant,
            client_id,
        )
    )


async def delete_client(connection: Connection, tenant: str, client_id: str) -> None:
    """Delete a client with its secrets."""
    await connection.execute("DELETE FROM clients WHERE tenant_id = $1 AND id = $2", tenant, client_id)


async def insert_secret(
    connection: Connection,
    tenant: str,
    client_id: str,
    secret_id: UUID,
    *,
    secret_hash: bytes,
    hint: str,
    now: datetime,
) -> None:
    """Store a new secret by its SHA-256."""
    await connection.execute(
        """
        INSERT INTO client_secrets (tenant_id, client_id, id, secret_hash, hint, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        tenant,
        client_id,
        secret_id,
        secret_hash,
        hint,
        now,
    )


async def end_secrets(connection: Connection, tenant: str, client_id: str, at: datetime) -> None:
    """Let the client's secrets expire at a time, except those that expire earlier."""
    await connection.execute(
        """
        UPDATE client_secrets SET expires_at = $3
        WHERE tenant_id = $1 AND client_id = $2 AND (expires_at IS NULL OR expires_at > $3)
        """,
        tenant,
        client_id,
        at,
    )


async def delete_secret(connection: Connection, tenant: str, client_id: str, secret_id: UUID) -> bool:
    """Delete a secret; False if it does not exist."""
    query = "DELETE FROM client_secrets WHERE tenant_id = $1 AND client_id = $2 AND id = $3 RETURNING true"
    return bool(await connection.fetchval(query, tenant, client_id, secret_id))


async def delete_ended_secrets(connection: Connection, tenant: str, client_id: str, before: datetime) -> None:
    """Delete the client's secrets that expired before a time."""
    await connection.execute(
        "DELETE FROM client_secrets WHERE tenant_id = $1 AND client_id = $2 AND expires_at < $3",
        tenant,
        client_id,
        before,
    )


async def list_secrets(connection: Connection, tenant: str, client_id: str) -> list[asyncpg.Record]:
    """The client's secrets, oldest first, including expired ones."""
    return await connection.fetch(
        f"SELECT {SECRET_COLUMNS} FROM client_secrets WHERE tenant_id = $1 AND client_id = $2 ORDER BY id",
        tenant,
        client_id,
    )


async def find_for_authentication(connection: Connection, tenant: str, client_id: str) -> asyncpg.Record | None:
    """A client of an active tenant, with its `secrets` as a list of records of id, secret_hash, expires_at.

    Waits for a running change or deletion of the client, so that no token is issued for credentials being revoked.
    """
    # two statements: the second one sees what was committed while the first one waited, also the secrets
    await connection.execute("SELECT FROM clients WHERE tenant_id = $1 AND id = $2 FOR SHARE", tenant, client_id)
    return await connection.fetchrow(
        """
        SELECT c.name, c.scopes, c.authentication, c.jwks, c.expires_at,
               ARRAY(SELECT (s.id, s.secret_hash, s.expires_at) FROM client_secrets s
                     WHERE s.tenant_id = c.tenant_id AND s.client_id = c.id) AS secrets
        FROM clients c JOIN tenants t ON t.tenant_id = c.tenant_id AND t.status = 'active'
        WHERE c.tenant_id = $1 AND c.id = $2
        """,
        tenant,
        client_id,
    )


async def note_use(
    connection: Connection, tenant: str, client_id: str, secret_id: UUID | None, now: datetime, grain: timedelta
) -> None:
    """Store the last use of the client, and of its secret if given, unless a use within `grain` before is stored."""
    await connection.execute(
        """
        WITH used AS (
            UPDATE client_secrets SET last_used_at = $4 WHERE tenant_id = $1 AND client_id = $2 AND id = $3
            AND (last_used_at IS NULL OR last_used_at <= $4::timestamptz - $5::interval)
        )
        UPDATE clients SET last_used_at = $4
        WHERE tenant_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at <= $4::timestamptz - $5::interval)
        """,
        tenant,
        client_id,
        secret_id,
        now,
        grain,
    )


async def use_assertion(
    connection: Connection, tenant: str, client_id: str, jti: str, expires_at: datetime, now: datetime
) -> bool:
    """Store that an assertion was used; False if it was used before or the client was deleted. Deletes expired ones."""
    await connection.execute(
        "DELETE FROM client_assertions WHERE tenant_id = $1 AND client_id = $2 AND expires_at < $3",
        tenant,
        client_id,
        now,
    )
    return bool(
        await connection.fetchval(
            """
            INSERT INTO client_assertions (tenant_id, client_id, jti, expires_at)
            SELECT tenant_id, id, $3, $4 FROM clients WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE
            ON CONFLICT DO NOTHING RETURNING true
            """,
            tenant,
            client_id,
            jti,
            expires_at,
        )
    )


def _client(tenant: str, row: asyncpg.Record) -> ApiClient:
    jwks = None if row["jwks"] is None else orjson.loads(row["jwks"])
    return ApiClient(tenant, **{**row, "scopes": frozenset(row["scopes"]), "jwks": jwks})


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


export_clients = json_rows(
    """
    SELECT id, name, scopes, authentication, jwks, version, created_at, created_by, modified_at, expires_at,
           last_used_at
    FROM clients WHERE tenant_id = $1 ORDER BY id
    """,
    jsonb=("jwks",),
)

export_client_secrets = json_rows(
    """
    SELECT client_id, id, hint, created_at, expires_at, last_used_at FROM client_secrets
    WHERE tenant_id = $1 ORDER BY client_id, id
    """
)
