"""Legal holds: while one is set, neither retention nor erasures nor the tenant's deletion remove anything."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.entries.entry_usecases import record_events
from quartet_audit.erasure import ERASURE
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_audit.retention import legal_hold_store
from quartet_audit.retention.retention_usecases import prune_all
from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import new_id
from quartet_common.runtime import tenant_deletion
from quartet_common.runtime.tenant_deletion import Eraser
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

REASON = "Case 2026-0815"
COUNT = 5


async def ask(
    audit: "Audit", tenant: str, method: str, path: str, scopes: Sequence[str] = ("audit:retention",), body: Any = None
) -> tuple[int, Any]:
    headers = audit.tokens.headers(tenant, list(scopes), actor="officer")
    answer = await audit.client.open(f"/audit/{path}", method=method, headers=headers, json=body)
    return answer.status_code, await answer.get_json(force=True) if await answer.get_data() else None


async def hold(audit: "Audit", tenant: str, reason: str = REASON) -> dict[str, Any]:
    status, answer = await ask(audit, tenant, "PUT", "legal-hold", body={"reason": reason})
    assert status == 200, answer
    return dict(answer)


async def release(audit: "Audit", tenant: str) -> int:
    return (await ask(audit, tenant, "DELETE", "legal-hold"))[0]


async def entries_of(audit: "Audit", tenant: str) -> tuple[int, int]:
    """The entries of the tenant, and how many of its parts are there."""
    query = """
    SELECT (SELECT count(*) FROM entries WHERE tenant_id = $1), (
        SELECT count(actor) + count(changes) FROM personal_parts WHERE tenant_id = $1)"""
    async with audit.container.database.connection() as connection:
        row = await connection.fetchrow(query, tenant)
    assert row is not None
    return row[0], row[1]


@pytest.fixture
async def tenant(audit: "Audit", make_event: "MakeEvent") -> str:
    """A tenant with five entries that are forty days old."""
    tenant = new_tenant()
    events = [make_event(tenant=tenant, actorname="Ada", data={"userName": "ada"}) for _ in range(COUNT)]
    async with audit.container.database.transaction() as connection:
        await record_events(connection, events, utc_now() - timedelta(days=40))
    await CheckpointSigner(audit.container).run()
    return tenant


async def test_a_hold_says_why_since_when_and_by_whom_and_is_in_the_log(audit: "Audit", tenant: str) -> None:
    assert (await ask(audit, tenant, "GET", "legal-hold"))[0] == 404
    assert await release(audit, tenant) == 404
    first = await hold(audit, tenant, "Case 1")
    second = await hold(audit, tenant)
    assert (second["reason"], second["set_by"], second["tenant"]) == (REASON, "officer", tenant)
    assert second["set_time"] >= first["set_time"]
    assert await ask(audit, tenant, "GET", "legal-hold") == (200, second)
    assert await release(audit, tenant) == 204
    assert (await ask(audit, tenant, "GET", "legal-hold"))[0] == 404
    events = await audit.service.outbox(tenant)
    assert [(event.action, event.actorid, event.data["reason"]) for event in events] == [
        ("audit.legal_hold.set", "officer", "Case 1"),
        ("audit.legal_hold.set", "officer", REASON),
        ("audit.legal_hold.released", "officer", REASON),
    ]
    assert [event.subject for event in events] == [f"legal-holds/{one['id']}" for one in (first, second, second)]


async def test_retention_waits_until_the_hold_is_released(audit: "Audit", tenant: str) -> None:
    await hold(audit, tenant)
    assert (await ask(audit, tenant, "PUT", "retention", body={"days": 30}))[0] == 200
    await prune_all(audit.container)
    assert await entries_of(audit, tenant) == (COUNT, 2 * COUNT)
    await release(audit, tenant)
    await prune_all(audit.container)
    assert await entries_of(audit, tenant) == (0, 0)


async def test_the_erasure_of_a_person_is_refused_with_the_hold(audit: "Audit", tenant: str) -> None:
    await hold(audit, tenant)
    status, problem = await ask(audit, tenant, "POST", "erasures", ["audit:erase"], {"user": str(new_id())})
    assert (status, problem["code"]) == (409, "legal_hold")
    assert REASON in problem["detail"]
    assert "officer" in problem["detail"]
    assert [event.action for event in await audit.service.outbox(tenant)] == ["audit.legal_hold.set"]


async def test_an_open_erasure_waits_until_the_hold_is_released(audit: "Audit", tenant: str) -> None:
    status, _ = await ask(audit, tenant, "POST", "erasures", ["audit:erase"], {"user": "tester"})
    assert status == 202
    await audit.deliver(tenant)
    await hold(audit, tenant)
    await carry_out_all(audit.container)
    assert await entries_of(audit, tenant) == (COUNT + 1, 2 * COUNT + 2)  # with the entry of the request
    await release(audit, tenant)
    await carry_out_all(audit.container)
    assert await entries_of(audit, tenant) == (COUNT + 1, 2)


async def erase_deleted(audit: "Audit", after: timedelta = timedelta(seconds=5)) -> None:
    """What the worker does again and again."""
    now = utc_now() + after
    await Eraser(lambda: audit.container.database, lambda: now, ERASURE).run()


async def test_the_deletion_of_a_tenant_keeps_its_entries_until_the_platform_releases_the_hold(
    audit: "Audit", make_event: "MakeEvent", tenant: str
) -> None:
    await hold(audit, tenant)
    await audit.record([make_event("users.tenant.deleted", "quartet", subject=f"tenants/{tenant}")])
    async with audit.container.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, tenant)
    await erase_deleted(audit)
    await erase_deleted(audit, timedelta(days=1000))  # the deletion is over as far as it can be
    assert await entries_of(audit, tenant) == (COUNT, 2 * COUNT)
    platform = ["platform:admin"]
    _, listed = await ask(audit, "quartet", "GET", "legal-holds", platform)
    assert (tenant, REASON) in [(one["tenant"], one["reason"]) for one in listed["holds"]]
    assert (await ask(audit, "quartet", "DELETE", f"legal-holds/{tenant}", platform))[0] == 204
    assert (await ask(audit, "quartet", "DELETE", f"legal-holds/{tenant}", platform))[0] == 404
    released = [event for event in await audit.service.outbox("quartet") if event.data.get("tenant") == tenant]
    assert [(event.action, event.tenantid) for event in released] == [("audit.legal_hold.released", "quartet")]
    await erase_deleted(audit)
    assert await entries_of(audit, tenant) == (0, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries WHERE tenant_id = $1",
        "DELETE FROM personal_parts WHERE tenant_id = $1",
        "UPDATE personal_parts SET actor = NULL, actor_salt = NULL WHERE tenant_id = $1",
        "INSERT INTO pruned_logs VALUES ($1, 5, now(), now())",
    ],
)
async def test_nothing_can_be_removed_while_a_hold_is_set(audit: "Audit", tenant: str, statement: str) -> None:
    await hold(audit, tenant)
    async with audit.owner.database.transaction() as connection:
        await tenant_deletion.record_tombstone(connection, tenant)
        await connection.execute("INSERT INTO retentions VALUES ($1, 30, now(), 'x')", tenant)
        await connection.execute(
            "INSERT INTO erased_parts SELECT $1, s, 'actor', now(), gen_random_uuid() FROM generate_series(0, 4) s",
            tenant,
        )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with audit.owner.database.transaction() as connection:
            await connection.execute(statement, tenant)


async def test_a_hold_waits_for_a_removal_that_runs_and_none_begins_after_it(audit: "Audit", tenant: str) -> None:
    async with audit.container.database.transaction() as connection:
        assert await legal_hold_store.get_hold_before_removal(connection, tenant) is None
        setting = asyncio.ensure_future(hold(audit, tenant))

        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return bool(await connection.fetchval(query))

        await eventually(waits, "the hold to wait")
        assert not setting.done()
    await setting
    async with audit.container.database.transaction() as connection:
        assert await legal_hold_store.get_hold_before_removal(connection, tenant) is not None


async def test_holds_need_their_scopes_and_a_reason(audit: "Audit", tenant: str) -> None:
    for method, path, scopes in (
        ("GET", "legal-hold", ["audit:read"]),
        ("PUT", "legal-hold", ["audit:erase"]),
        ("DELETE", "legal-hold", ["audit:erase"]),
        ("GET", "legal-holds", ["audit:retention"]),
        ("DELETE", f"legal-holds/{tenant}", ["audit:retention"]),
    ):
        assert (await ask(audit, tenant, method, path, scopes, body={"reason": "x"}))[0] == 403
    for body in ({}, {"reason": ""}, {"reason": "x" * 1001}, {"reason": "x\0"}, {"reason": 1}):
        status, problem = await ask(audit, tenant, "PUT", "legal-hold", body=body)
        assert (status, "reason" in problem["detail"]) == (400, True)
