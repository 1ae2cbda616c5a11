"""SQL of restored logs: connection first, then the tenant; never commits."""

from collections.abc import Sequence

from quartet_audit.archives.archive_domain import ErasedPart
from quartet_audit.entries import entry_store
from quartet_audit.entries.entry_domain import NewEntry
from quartet_audit.trees import tree_store
from quartet_audit.trees.tree_domain import Frontier
from quartet_common.data.connections import Connection

# a function of the owner: the role that serves may not note an erasure (0014_restored_logs.sql)
RESTORE_ERASED = "SELECT restore_erased_parts($1, $2::bigint[], $3::text[], $4::timestamptz[], $5::uuid[])"
IS_BEHIND = """
SELECT l.size > coalesce(c.size, 0) FROM logs l LEFT JOIN checkpoints c USING (tenant_id) WHERE tenant_id = $1"""


async def lock_log(connection: Connection, tenant: str) -> Frontier:
    """The frontier of the log of `tenant`, locked until the transaction ends."""
    return (await tree_store.lock_logs(connection, [tenant]))[tenant]


async def append_entries(
    connection: Connection, frontier: Frontier, entries: Sequence[NewEntry], erased: Sequence[ErasedPart]
) -> Frontier:
    """Append `entries` of one tenant to its locked log, with what was `erased` of them; its frontier afterwards."""
    if not entries:
        return frontier
    tenant = entries[0].tenant
    await entry_store.add_entries(connection, entries)
    grown = await tree_store.append_leaves(connection, {tenant: frontier}, {tenant: [one.leaf for one in entries]})
    if erased:
        columns = map(list, zip(*erased, strict=True))
        noted = await connection.fetchval(RESTORE_ERASED, tenant, *columns)
        if noted != len(erased):
            raise AssertionError(f"{len(erased)} parts are erased, and {noted} could be noted")
    return grown[tenant]


async def is_behind(connection: Connection, tenant: str) -> bool:
    """Whether the log of `tenant` has entries that no checkpoint covers."""
    found: bool | None = await connection.fetchval(IS_BEHIND, tenant)
    return bool(found)
