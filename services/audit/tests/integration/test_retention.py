"""Retention: what has expired is removed in order, the tree and later entries stay provable, and it is recorded."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from jsonschema import Draft202012Validator

from quartet_audit.app import schedules
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.continuity.continuity_usecases import SequenceCheck
from quartet_audit.entries.entry_usecases import record_events
from quartet_audit.retention import retention_store
from quartet_audit.retention.retention_usecases import prune_all
from quartet_audit.trees.tree_domain import TileAddress, leaf_hash
from quartet_audit.trees.tree_store import read_tiles
from quartet_common.core.clock import utc_now
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

SETTING = ["audit:retention"]
SCHEMAS = Path(__file__).parents[2] / "src/quartet_audit/schemas"
TABLES = ("entries", "personal_parts", "erased_parts", "leaves")


async def ask(audit: "Audit", tenant: str, method: str, path: str = "retention", body: Any = None) -> tuple[int, Any]:
    headers = audit.tokens.headers(tenant, SETTING, actor="officer")
    answer = await audit.client.open(f"/audit/{path}", method=method, headers=headers, json=body)
    return answer.status_code, await answer.get_json(force=True) if await answer.get_data() else None


async def keep(audit: "Audit", tenant: str, days: int | None) -> dict[str, Any]:
    """Set the retention of a tenant."""
    status, answer = await ask(audit, tenant, "PUT", body={"days": days})
    assert status == 200, answer
    return dict(answer)


async def record(audit: "Audit", make_event: "MakeEvent", tenant: str, ages: Sequence[float]) -> list[str]:
    """Have entries recorded, each so many days ago; their ids."""
    ids = []
    for start in range(0, len(ages), 500):
        for age in dict.fromkeys(ages[start : start + 500]):
            events = [
                make_event(tenant=tenant, actorname="Ada", data={"userName": f"u{number}"})
                for number in range(ages[start : start + 500].count(age))
            ]
            async with audit.container.database.transaction() as connection:
                await record_events(connection, events, utc_now() - timedelta(days=age))
            ids += [str(event.id) for event in events]
    await CheckpointSigner(audit.container).run()
    return ids


async def kept(audit: "Audit", tenant: str) -> dict[str, int]:
    """How many rows of the tenant each table has."""
    async with audit.container.database.connection() as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant)
            for table in TABLES
        }


async def execute(audit: "Audit", statement: str, *values: object) -> None:
    """Run a statement as the owner of the tables."""
    async with audit.owner.database.transaction() as connection:
        await connection.execute(statement, *values)


async def test_entries_are_kept_for_ever_unless_a_retention_is_set(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await record(audit, make_event, tenant, [5000.0] * 3)
    await prune_all(audit.container)
    assert (await kept(audit, tenant))["entries"] == 3
    assert await ask(audit, tenant, "GET") == (
        200,
        {"days": None, "changed_time": None, "changed_by": None, "expired_entries": 0, "minimum_index": 0},
    )


async def test_what_has_expired_goes_with_its_parts_and_the_leaves_of_full_tiles(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_store, "BATCH", 100)
    tenant, other = new_tenant(), new_tenant()
    await record(audit, make_event, tenant, [40.0] * 600 + [20.0] * 100)
    await record(audit, make_event, other, [40.0] * 3)
    await execute(
        audit,
        "INSERT INTO erased_parts SELECT $1, s, 'changes', now(), gen_random_uuid() FROM unnest($2::int[]) s",
        tenant,
        [5, 650],
    )
    async with audit.container.database.connection() as connection:
        rows = await connection.fetch("SELECT leaf FROM leaves WHERE tenant_id = $1 ORDER BY sequence", tenant)
    state = await keep(audit, tenant, 30)
    assert (state["days"], state["changed_by"], state["expired_entries"]) == (30, "officer", 0)
    [worker] = [one for one in schedules(audit.container) if one.name == "logs-prune"]
    await worker.action()
    assert await kept(audit, tenant) == {"entries": 100, "personal_parts": 100, "erased_parts": 1, "leaves": 188}
    assert (await kept(audit, other))["entries"] == 3
    _, state = await ask(audit, tenant, "GET")
    assert (state["expired_entries"], state["minimum_index"]) == (600, 512)
    async with audit.container.database.connection() as connection:
        tiles = await read_tiles(connection, tenant, [TileAddress(0, 0), TileAddress(0, 1)], 700)
    assert tiles[TileAddress(0, 0)] + tiles[TileAddress(0, 1)] == [leaf_hash(row["leaf"]) for row in rows[:512]]
    assert [entry["sequence"] for entry in await audit.find(tenant, limit=500, order="asc")] == list(range(600, 700))


async def test_an_entry_goes_after_all_before_it_only(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await record(audit, make_event, tenant, [40.0, 40.0, 20.0])
    await record(audit, make_event, tenant, [40.0])
    await keep(audit, tenant, 30)
    await prune_all(audit.container)
    assert [entry["sequence"] for entry in await audit.find(tenant, order="asc")] == [2, 3]


async def test_what_no_checkpoint_covers_stays(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await record(audit, make_event, tenant, [40.0])
    async with audit.container.database.transaction() as connection:
        await record_events(connection, [make_event(tenant=tenant)], utc_now() - timedelta(days=40))
    await keep(audit, tenant, 30)
    await prune_all(audit.container)
    assert (await kept(audit, tenant))["entries"] == 1


async def test_each_run_and_each_change_is_in_the_log_once(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await record(audit, make_event, tenant, [400.0] * 5 + [40.0] * 4)
    await keep(audit, tenant, 365)
    await keep(audit, tenant, 365)
    await prune_all(audit.container)
    await keep(audit, tenant, 30)
    await prune_all(audit.container)
    await prune_all(audit.container)
    await keep(audit, tenant, None)
    events = await audit.service.outbox(tenant)
    assert [(event.action, event.data.get("days"), event.data.get("entries")) for event in events] == [
        ("audit.retention.changed", 365, None),
        ("audit.retention.applied", None, 5),
        ("audit.retention.changed", 30, None),
        ("audit.retention.applied", None, 4),
        ("audit.retention.changed", None, None),
    ]
    assert [event.subject for event in events if "applied" in event.action] == ["retention/5", "retention/9"]
    assert events[2].data["changes"] == [{"path": "days", "before": 365, "after": 30}]
    assert (events[1].actortype, events[2].actorid) == ("service", "officer")
    for event in events:
        schema = json.loads((SCHEMAS / f"{event.type.removeprefix('quartet.')}.json").read_text())
        Draft202012Validator(schema).validate(event.data)
    assert (await kept(audit, tenant))["entries"] == 0


async def test_what_has_expired_is_no_gap_in_the_log(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, check = new_tenant(), SequenceCheck(audit.container)
    await record(audit, make_event, tenant, [40.0] * 300 + [1.0] * 20)
    await keep(audit, tenant, 30)
    await prune_all(audit.container)
    assert (await kept(audit, tenant))["entries"] == 20
    for _ in range(3):  # the logs are counted in turns
        assert tenant not in (await check.check() or "")


async def test_what_an_interrupted_run_has_removed_is_in_the_event_of_the_next_one(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    await record(audit, make_event, tenant, [40.0] * 5)
    await keep(audit, tenant, 30)
    monkeypatch.setattr(retention_store, "BATCH", 3)
    async with audit.container.database.transaction() as connection:
        assert await retention_store.prune(connection, tenant, utc_now()) == 3
    await prune_all(audit.container)
    [event] = [event for event in await audit.service.outbox(tenant) if event.action == "audit.retention.applied"]
    assert event.data == {"entries": 5, "before": 5}


async def test_an_expired_entry_and_its_proof_are_404_that_says_so(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    old, new = await record(audit, make_event, tenant, [40.0, 0.0])
    # ids have the time at which the test made them, so it is as if the entries were recorded in the future
    await execute(audit, "INSERT INTO retentions VALUES ($1, 30, now(), 'x')", tenant)
    await prune_all(audit.container)
    await execute(audit, "UPDATE pruned_logs SET recorded_until = now() WHERE tenant_id = $1", tenant)
    for path in (f"/audit/events/{old}", f"/audit/events/{old}/proof", f"/audit/events/{old}/proof.tlog-proof"):
        status, problem = await audit.ask(tenant, path, {"wait": 5} if "proof" in path else None)
        assert (status, problem["code"]) == (404, "entry_expired"), path
        assert "expired" in problem["detail"]
    status, proof = await audit.ask(tenant, f"/audit/events/{new}/proof")
    assert (status, proof["leaf_index"]) == (200, 1)
    for missing in ("00000000-0000-7000-8000-000000000000", "00000000-0000-4000-8000-000000000000"):
        assert (await audit.ask(new_tenant(), f"/audit/events/{missing}"))[1]["code"] == "not_found"
    assert (await audit.ask(tenant, "/audit/events/00000000-0000-4000-8000-000000000000"))[1]["code"] == "not_found"


async def test_entry_bundles_below_the_minimum_index_are_404_and_tiles_and_proofs_stay(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    ids = await record(audit, make_event, tenant, [40.0] * 300 + [1.0] * 300)
    paths = [f"/audit/events/{ids[number]}/proof" for number in (300, 599)]
    before = [await audit.ask(tenant, path) for path in paths]
    consistency = await audit.ask(tenant, f"/audit/log/{tenant}/consistency", {"from": 3, "to": 600})
    await keep(audit, tenant, 30)
    await prune_all(audit.container)
    headers = audit.tokens.headers(tenant, ["audit:read"])

    async def status(path: str) -> int:
        return (await audit.client.get(f"/audit/log/{tenant}/tile/{path}", headers=headers)).status_code

    assert [await status(path) for path in ("entries/000", "entries/000.p/5", "entries/001", "entries/002.p/88")] == [
        *(404, 404, 200, 200)
    ]
    assert [await status(path) for path in ("0/000", "0/000.p/7", "0/001", "1/000.p/2")] == [200] * 4
    _, problem = await audit.ask(tenant, f"/audit/log/{tenant}/tile/entries/000")
    assert "256" in problem["detail"]
    assert [await audit.ask(tenant, path) for path in paths] == before
    assert await audit.ask(tenant, f"/audit/log/{tenant}/consistency", {"from": 3, "to": 600}) == consistency
    await record(audit, make_event, tenant, [0.0] * 200)
    assert (await audit.ask(tenant, paths[0]))[1]["tree_size"] == 800


async def test_the_export_leaves_out_what_has_expired(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await record(audit, make_event, tenant, [40.0] * 150 + [1.0] * 2)
    await keep(audit, tenant, 30)
    await prune_all(audit.container)
    headers = audit.tokens.headers(tenant, ["audit:export"])
    lines = (await (await audit.client.get("/audit/data/export", headers=headers)).get_data()).splitlines()
    assert [json.loads(line)["data"]["sequence"] for line in lines if b'"entry"' in line] == [150, 151]


@pytest.mark.parametrize("tampering", ["leaves", "tiles"])
async def test_a_log_whose_leaves_are_not_those_of_its_tiles_is_not_pruned_and_stops_no_other(
    audit: "Audit", make_event: "MakeEvent", tampering: str
) -> None:
    tenants = sorted(new_tenant() for _ in range(2))
    for tenant in tenants:
        await record(audit, make_event, tenant, [40.0] * 256)
        await keep(audit, tenant, 30)
    column = {"leaves": "leaf", "tiles": "hashes"}[tampering]
    await execute(audit, f"ALTER TABLE {tampering} DISABLE TRIGGER USER")
    change = f"{column} = set_byte({column}, 5, 255 - get_byte({column}, 5))"
    await execute(audit, f"UPDATE {tampering} SET {change} WHERE tenant_id = $1", tenants[0])
    await execute(audit, f"ALTER TABLE {tampering} ENABLE TRIGGER USER")
    await prune_all(audit.container)
    damaged, sound = [await kept(audit, tenant) for tenant in tenants]
    assert (damaged["entries"], damaged["leaves"]) == (256, 256)
    assert (sound["entries"], sound["leaves"]) == (0, 0)
    await keep(audit, tenants[0], None)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM entries WHERE tenant_id = $1 AND sequence = 300",
        "DELETE FROM personal_parts WHERE tenant_id = $1 AND sequence = 300",
        "DELETE FROM leaves WHERE tenant_id = $1 AND sequence >= 256",
        "DELETE FROM leaves WHERE tenant_id = $1 AND sequence < 10",
        "UPDATE pruned_logs SET entries = 301 WHERE tenant_id = $1",
        "UPDATE pruned_logs SET entries = 10 WHERE tenant_id = $1",
        "DELETE FROM pruned_logs WHERE tenant_id = $1",
    ],
)
async def test_nothing_that_has_not_expired_can_be_removed(audit: "Audit", pruned: str, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
        await execute(audit, statement, pruned)


@pytest.fixture(scope="module")
async def pruned(audit: "Audit", make_event: "MakeEvent") -> str:
    """A tenant with 320 entries, of which 300 have expired; leaves of the first tile are still there."""
    tenant = new_tenant()
    await record(audit, make_event, tenant, [40.0] * 300 + [1.0] * 20)
    await execute(audit, "INSERT INTO retentions VALUES ($1, 30, now(), 'x')", tenant)
    await execute(audit, "INSERT INTO pruned_logs VALUES ($1, 300, now(), now())", tenant)
    for table in ("personal_parts", "entries"):
        await execute(audit, f"DELETE FROM {table} WHERE tenant_id = $1 AND sequence < 300", tenant)
    return tenant


@pytest.mark.parametrize("days", [29, 36_501, 0, -1, "30", 30.5])
async def test_a_retention_that_is_too_short_or_no_number_is_refused(audit: "Audit", days: object) -> None:
    tenant = new_tenant()
    status, problem = await ask(audit, tenant, "PUT", body={"days": days})
    assert status == 400
    assert "days" in problem["detail"]
    assert await audit.service.outbox(tenant) == []
    assert (await ask(audit, tenant, "PUT", body={}))[0] == 400
