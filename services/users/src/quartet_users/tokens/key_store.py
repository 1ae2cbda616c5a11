"""SQL of signing keys, which belong to the platform's tenant: connection first; never commits."""

from collections.abc import Sequence

import asyncpg

from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.data.connections import Connection
from quartet_users.tokens.key_domain import KeyTimes


async def lock_keys(connection: Connection) -> None:
    """Lock the table of keys until the transaction ends, so that one process at a time changes it."""
    await connection.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")


async def read_keys(connection: Connection) -> list[asyncpg.Record]:
    """`key_id, private_key, created_at, signs_from`, newest first; the private key is encrypted."""
    return await connection.fetch(
        """
        SELECT key_id, private_key, created_at, signs_from FROM signing_keys WHERE tenant_id = $1
        ORDER BY signs_from DESC, created_at DESC, key_id DESC
        """,
        SYSTEM_TENANT,
    )


async def read_times(connection: Connection) -> list[KeyTimes]:
    """The ids and times of the keys."""
    return [KeyTimes(row["key_id"], row["created_at"], row["signs_from"]) for row in await read_keys(connection)]


async def insert_key(connection: Connection, times: KeyTimes, public_key: str, private_key: str) -> None:
    """Store a key pair; the private key is encrypted."""
    await connection.execute(
        """
        INSERT INTO signing_keys (tenant_id, key_id, public_key, private_key, created_at, signs_from)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        SYSTEM_TENANT,
        times.id,
        public_key,
        private_key,
        times.created,
        times.signs_from,
    )


async def delete_keys(connection: Connection, ids: Sequence[str]) -> None:
    """Delete keys: their tokens are refused from now on."""
    query = "DELETE FROM signing_keys WHERE tenant_id = $1 AND key_id = ANY($2::text[])"
    await connection.execute(query, SYSTEM_TENANT, list(ids))
