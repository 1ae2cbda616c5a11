"""SQL of signing keys: connection first; they belong to the platform's tenant. Never commits."""

from collections.abc import Sequence

import asyncpg

from quartet_audit.checkpoints.signing_key_domain import KeyPeriod
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.data.connections import Connection

READ = """
SELECT key_id, type, public_key, private_key, signs_from, signs_until FROM signing_keys WHERE tenant_id = $1
ORDER BY signs_from DESC, type, key_id"""

INSERT = """
INSERT INTO signing_keys (tenant_id, key_id, type, public_key, private_key, signs_from)
VALUES ($1, $2, $3, $4, $5, $6)"""

END = """
UPDATE signing_keys SET signs_until = ended.until FROM unnest($2::text[], $3::timestamptz[]) AS ended (key_id, until)
WHERE signing_keys.tenant_id = $1 AND signing_keys.key_id = ended.key_id"""


async def lock_keys(connection: Connection) -> None:
    """Have other processes wait until this transaction has ended, so that only one changes which keys there are."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('quartet.audit.keys', 0))")


async def read_keys(connection: Connection) -> list[tuple[KeyPeriod, str]]:
    """All keys with their encrypted private halves, the newest first."""
    return [(_period(row), row["private_key"]) for row in await connection.fetch(READ, SYSTEM_TENANT)]


async def read_periods(connection: Connection) -> list[KeyPeriod]:
    """All keys without their private halves, the newest first."""
    return [period for period, _ in await read_keys(connection)]


def _period(row: asyncpg.Record) -> KeyPeriod:
    return KeyPeriod(row["key_id"], row["type"], row["public_key"], row["signs_from"], row["signs_until"])


async def insert_key(connection: Connection, key: KeyPeriod, private_key: str) -> None:
    """Store a key; its private half is encrypted."""
    await connection.execute(INSERT, SYSTEM_TENANT, key.id, key.type, key.public, private_key, key.signs_from)


async def end_periods(connection: Connection, keys: Sequence[KeyPeriod]) -> None:
    """Store the ends of the periods of `keys`."""
    await connection.execute(END, SYSTEM_TENANT, [key.id for key in keys], [key.until for key in keys])
