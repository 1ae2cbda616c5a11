"""Logs of deleted tenants: the entries go, their leaf hashes stay, and nothing else can be removed."""

import hashlib
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from quartet_audit.erasure import ERASURE
from quartet_common.core.clock import utc_now
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.tenant_deletion import Eraser, Erasure
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

KEEP = "INSERT INTO leaf_hashes SELECT tenant_id, sequence, leaf_hash(entry) FROM entries WHERE tenant_id = $1"


async def run(audit: "Audit", *statements: str, tenant: str) -> None:
    """Run statements with the tenant as their parameter, in one transaction."""
    async with audit.container.database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement, tenant)


async def rows(audit: "Audit", query: str, tenant: str) -> list[tuple[Any, ...]]:
    """The rows of a query with the tenant as its parameter."""
    async with audit.container.database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, tenant)]


async def bury(audit: "Audit", tenant: str) -> None:
    """Note that the tenant is deleted."""
    async with audit.container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, tenant)


async def erase(audit: "Audit", batch: int = 3) -> None:
    """What the worker does again and again."""
    erasure = Erasure(ERASURE.staying, ERASURE.own, batch)
    now = utc_now() + timedelta(seconds=5)
    await Eraser(lambda: audit.container.database, lambda: now, erasure, no_letters).run()


async def no_letters(_: Collection[str]) -> dict[str, int]:
    return {}


async def test_entries_go_and_their_leaf_hashes_stay_as_rfc_6962_makes_them(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    gone, other = new_tenant(), new_tenant()
    await audit.record([make_event(tenant=gone, data={"name": f"Zoë {number}"}) for number in range(10)])
    await audit.record([make_event(tenant=other)])
    recorded = await rows(audit, "SELECT entry FROM entries WHERE tenant_id = $1 ORDER BY sequence", gone)
    wanted = [(n, hashlib.sha256(b"\0" + text.encode()).digest()) for n, (text,) in enumerate(recorded)]
    assert len(wanted) == 10
    await bury(audit, gone)
    await erase(audit)
    assert await rows(audit, "SELECT FROM entries WHERE tenant_id = $1", gone) == []
    kept = "SELECT sequence, hash FROM leaf_hashes WHERE tenant_id = $1 ORDER BY sequence"
    assert await rows(audit, kept, gone) == wanted
    assert await rows(audit, "SELECT size FROM logs WHERE tenant_id = $1", gone) == [(10,)]
    assert len(await audit.ids(other)) == 1
    assert await rows(audit, kept, other) == []


async def test_what_is_heard_late_of_a_deleted_tenant_leaves_its_hash_behind_the_others(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    await bury(audit, tenant)
    await erase(audit)
    await audit.record([make_event(tenant=tenant)])  # a transaction that had begun before the tombstone came
    await erase(audit)
    kept = "SELECT sequence FROM leaf_hashes WHERE tenant_id = $1 ORDER BY sequence"
    assert await rows(audit, kept, tenant) == [(0,), (1,)]
    assert await audit.ids(tenant) == []


@pytest.mark.parametrize(
    ("dead", "before"),
    [
        (False, None),
        (False, KEEP),
        (True, None),
        (True, KEEP.replace("leaf_hash(entry)", "sha256('x'::bytea)")),
        (True, f"{KEEP} AND sequence > 0"),
        (True, KEEP.replace("SELECT tenant_id", "SELECT tenant_id || 'x'")),
    ],
)
async def test_entries_are_not_removed_unless_the_tenant_is_deleted_and_each_hash_is_kept(
    audit: "Audit", make_event: "MakeEvent", dead: bool, before: str | None
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant) for _ in range(3)])
    if dead:
        await bury(audit, tenant)
    statements = [*([before] if before else []), "DELETE FROM entries WHERE tenant_id = $1"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
        await run(audit, *statements, tenant=tenant)
    assert len(await rows(audit, "SELECT FROM entries WHERE tenant_id = $1", tenant)) == 3
    await run(audit, "UPDATE deleted_tenants SET due_at = NULL WHERE tenant_id = $1", tenant=tenant)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM leaf_hashes WHERE tenant_id = $1",
        "UPDATE leaf_hashes SET hash = sha256('x'::bytea) WHERE tenant_id = $1",
        "UPDATE leaf_hashes SET sequence = sequence + 1 WHERE tenant_id = $1",
    ],
)
async def test_hashes_that_are_kept_are_never_changed(audit: "Audit", make_event: "MakeEvent", statement: str) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    await bury(audit, tenant)
    await erase(audit)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
        await run(audit, statement, tenant=tenant)
