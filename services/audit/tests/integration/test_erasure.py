"""Logs of deleted tenants: entries and their parts go, the tree stays, and nothing else can be removed."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from quartet_audit.entries.entry_usecases import append_events, take_new
from quartet_audit.erasure import ERASURE
from quartet_common.core.clock import utc_now
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.tenant_deletion import Eraser, Erasure
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

TREE = """
SELECT sequence, leaf, NULL FROM leaves WHERE tenant_id = $1 UNION ALL SELECT index, hashes, level FROM tiles
WHERE tenant_id = $1 UNION ALL SELECT size, frontier, NULL FROM logs WHERE tenant_id = $1 ORDER BY 3, 1, 2"""
REMOVED = ("entries", "personal_parts", "erased_parts")


async def run(audit: "Audit", *statements: str, tenant: str) -> None:
    """Run statements with the tenant as their parameter, in one transaction."""
    async with audit.owner.database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement, tenant)


async def rows(audit: "Audit", query: str, tenant: str) -> list[tuple[Any, ...]]:
    """The rows of a query with the tenant as its parameter."""
    async with audit.container.database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, tenant)]


async def bury(audit: "Audit", make_event: "MakeEvent", tenant: str) -> None:
    """Note that the tenant is deleted, in its tombstone and in the log of the platform."""
    await audit.record([make_event("users.tenant.deleted", "quartet", subject=f"tenants/{tenant}")])
    async with audit.container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, tenant)


async def erase(audit: "Audit", batch: int = 3) -> None:
    """What the worker does again and again."""
    erasure = Erasure(ERASURE.staying, ERASURE.own, batch)
    now = utc_now() + timedelta(seconds=5)
    await Eraser(lambda: audit.container.database, lambda: now, erasure).run()


async def test_entries_and_their_parts_go_and_the_tree_stays(audit: "Audit", make_event: "MakeEvent") -> None:
    gone, other = new_tenant(), new_tenant()
    await audit.record([make_event(tenant=gone, data={"name": f"Zoë {number}"}) for number in range(300)])
    await audit.record([make_event(tenant=other)])
    await run(audit, "INSERT INTO erased_parts VALUES ($1, 0, 'changes', now(), gen_random_uuid())", tenant=gone)
    tree = await rows(audit, TREE, gone)
    assert len(tree) == 300 + 2 + 1
    await bury(audit, make_event, gone)
    await erase(audit, 100)
    for table in REMOVED:
        assert await rows(audit, f"SELECT FROM {table} WHERE tenant_id = $1", gone) == []
    assert await rows(audit, TREE, gone) == tree
    # a pass that fails leaves the tenant due as it was
    assert await rows(audit, "SELECT due_at > deleted_at FROM deleted_tenants WHERE tenant_id = $1", gone) == [(True,)]
    assert len(await audit.ids(other)) == 1
    assert len(await rows(audit, "SELECT FROM personal_parts WHERE tenant_id = $1", other)) == 1


async def test_what_is_heard_late_of_a_deleted_tenant_leaves_its_leaf_behind_the_others(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    late = make_event(tenant=tenant)
    async with audit.container.database.transaction() as connection:
        fresh = await take_new(connection, [late])
        await bury(audit, make_event, tenant)
        await append_events(connection, fresh, utc_now())
    await erase(audit)
    assert await rows(audit, "SELECT sequence FROM leaves WHERE tenant_id = $1 ORDER BY 1", tenant) == [(0,), (1,)]
    assert await audit.ids(tenant) == []


@pytest.mark.parametrize("table", REMOVED)
async def test_nothing_is_removed_unless_the_tenant_is_deleted(
    audit: "Audit", make_event: "MakeEvent", table: str
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant) for _ in range(3)])
    await run(audit, "INSERT INTO erased_parts VALUES ($1, 0, 'changes', now(), gen_random_uuid())", tenant=tenant)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
        await run(audit, f"DELETE FROM {table} WHERE tenant_id = $1", tenant=tenant)
    assert await rows(audit, f"SELECT FROM {table} WHERE tenant_id = $1", tenant)
