"""SQL of tenant origins: the origins whose pages may read responses to tokens of a tenant."""

from collections.abc import Sequence
from typing import NamedTuple

from quartet_common.data.connections import Connection

# One statement, so one snapshot: rows that it does not see are of transactions that are not older than its xmin. A row
# of a deleted tenant may be gone, so its tombstone says that it has no origins, until no other row of it can appear.
READ = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, tenant_id, origins
FROM (VALUES (1)) AS always LEFT JOIN (
    SELECT tenant_id, origins FROM tenant_origins t
    WHERE written_by >= $1::text::xid8 AND NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = t.tenant_id)
    UNION ALL SELECT tenant_id, '{}' FROM deleted_tenants WHERE due_at IS NOT NULL
) AS changed ON true"""


class TenantOrigins(NamedTuple):
    """All origins of a tenant; `version` grows with each change."""

    tenant: str
    version: int
    origins: Sequence[str]


async def next_version(connection: Connection, tenant: str) -> int:
    """The next version: the time in microseconds, so that it grows also after users was restored to an older state.

    Locks the tenant's row until the transaction ends, so that changes follow each other; `keep` must follow.
    """
    version: int = await connection.fetchval(
        """
        INSERT INTO tenant_origins AS known (tenant_id, version, origins)
        VALUES ($1, extract(epoch FROM clock_timestamp()) * 1000000, '{}')
        ON CONFLICT (tenant_id) DO UPDATE SET version = greatest(known.version + 1, excluded.version) RETURNING version
        """,
        tenant,
    )
    return version


async def keep(connection: Connection, changed: Sequence[TenantOrigins]) -> None:
    """Store `changed`; of each tenant only the newest version counts, in any order. No effect for deleted tenants."""
    newest = {one.tenant: one for one in sorted(changed, key=lambda one: one.version)}
    for tenant in sorted(newest):  # all processes lock the rows in the same order
        await connection.execute(
            """
            INSERT INTO tenant_origins AS known (tenant_id, version, origins)
            SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM deleted_tenants WHERE tenant_id = $1)
            ON CONFLICT (tenant_id) DO UPDATE
            SET version = excluded.version, origins = excluded.origins, written_by = pg_current_xact_id()
            WHERE known.version <= excluded.version
            """,
            *newest[tenant],
        )
