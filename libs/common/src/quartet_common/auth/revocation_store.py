"""SQL of revocations."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from quartet_common.auth.revocations import CLOCKS, KEPT, Revocation
from quartet_common.data.connections import Connection

# One statement, so one snapshot: rows that it does not see are of transactions that are not older than its xmin.
READ = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, tenant_id, kind, id, revoked_at, endless, expires_at
FROM (VALUES (1)) AS always LEFT JOIN revocations ON written_by >= $1::text::xid8"""


async def keep(connection: Connection, revocations: Sequence[Revocation]) -> None:
    """Store `revocations`; of each kind and id only the latest counts, in any order."""
    newest = {(one.tenant, one.kind, one.id): one for one in sorted(revocations, key=lambda one: one.revoked_at)}
    chosen = [newest[key] for key in sorted(newest)]
    await connection.execute(
        """
        INSERT INTO revocations AS known (tenant_id, kind, id, revoked_at, endless, expires_at)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[], $6::timestamptz[])
        ON CONFLICT (tenant_id, kind, id) DO UPDATE
        SET revoked_at = excluded.revoked_at, endless = excluded.endless, expires_at = excluded.expires_at,
            written_by = pg_current_xact_id()
        WHERE known.revoked_at < excluded.revoked_at
        """,
        [one.tenant for one in chosen],
        [one.kind for one in chosen],
        [one.id for one in chosen],
        [one.revoked_at for one in chosen],
        [one.endless for one in chosen],
        [one.expires_at for one in chosen],
    )


async def prune(connection: Connection, now: datetime) -> None:
    """Delete revocations whose tokens have all expired."""
    await connection.execute(
        """
        DELETE FROM revocations
        WHERE NOT endless AND (expires_at < $1 OR (expires_at IS NULL AND revoked_at < $2))
        """,
        now - CLOCKS,
        now - KEPT,
    )


def revocation_of(row: asyncpg.Record) -> Revocation:
    """The revocation of a row of READ."""
    return Revocation(
        tenant=row["tenant_id"],
        kind=row["kind"],
        id=row["id"],
        revoked_at=row["revoked_at"],
        endless=row["endless"],
        expires_at=row["expires_at"],
    )
