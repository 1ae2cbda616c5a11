"""The archive of a log, restored into another deployment: the same entries, leaves and proofs, and its log goes on."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from quartet_audit.app import SERVICE
from quartet_audit.archives import archive_usecases
from quartet_audit.checkpoints.checkpoint_domain import Checkpoint
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.config import AuditConfig
from quartet_audit.continuity import continuity_store
from quartet_audit.entries.entry_usecases import record_events
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_audit.note_domain import SignedNote
from quartet_audit.trees import tree_store
from quartet_audit_verifier.state import State
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import verify_files
from quartet_cli.stack import Stack
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_testing.conditions import eventually
from quartet_testing.other_databases import empty_database, moved
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

ARCHIVE = "a" * 64
OWN, FORGED = (b64encode(b'{"data":{"n":%d}}' % number) for number in (1, 2))
NUMBER = 300
"""Entries: more than a tile."""
PART = 70
"""Lines of a part: none ends where a tile does."""


@pytest.fixture(scope="module")
async def other(servers: Stack, config_for: ConfigFor[AuditConfig]) -> AsyncIterator[RunningService]:
    """The service of another deployment."""
    async with empty_database(servers) as name:
        config, owner = moved(config_for(AuditConfig), name), moved(config_for(AuditConfig, "migrate"), name)
        async with run_service(SERVICE, config, owner) as service:
            yield service


async def archive_of(service: RunningService, tenant: str) -> list[bytes]:
    """The lines of the archive of a tenant."""
    headers = service.tokens.headers(SYSTEM_TENANT, ["platform:admin"])

    async def answered() -> list[bytes]:
        answer = await service.client.get(f"/audit/data/archive?tenant={tenant}", headers=headers)
        content = await answer.get_data(as_text=False)
        assert answer.status_code == 200, content  # 503 while the machine is busy
        return content.splitlines(keepends=True)

    return await eventually(answered, "an archive")


async def send(
    service: RunningService, tenant: str, lines: Sequence[bytes], position: int = 0, archive: str = ARCHIVE
) -> tuple[int, Any]:
    """Status and body of the answer to a part of a restore."""
    headers = service.tokens.headers(SYSTEM_TENANT, ["platform:admin"])
    headers["Content-Type"] = "application/x-ndjson"
    query = {"tenant": tenant, "archive": archive, "position": position}
    answer = await service.client.post("/audit/data/restore", headers=headers, query_string=query, data=b"".join(lines))
    return answer.status_code, await answer.get_json()


async def restore(service: RunningService, tenant: str, lines: Sequence[bytes]) -> None:
    """Restore an archive, each part twice."""
    for start in range(0, len(lines), PART):
        part = lines[start : start + PART]
        status, answer = await send(service, tenant, part, start)
        assert status == 200, answer
        expected = {"position": min(start + len(part), len(lines) - 1), "is_complete": start + PART >= len(lines)}
        assert answer == expected
        assert await send(service, tenant, part, start) == (200, expected)


async def entries_of(service: RunningService, tenant: str) -> list[Any]:
    """All entries of a tenant, oldest first."""
    headers = service.tokens.headers(tenant, ["audit:read"])
    answer = await service.client.get("/audit/events?limit=500&order=asc", headers=headers)
    return list((await answer.get_json(force=True))["events"])


async def bundle_of(service: RunningService, tenant: str, file: Path) -> Path:
    """A file with the bundle of a log."""
    headers = service.tokens.headers(tenant, ["audit:export"])
    answer = await service.client.get("/audit/export?format=bundle", headers=headers)
    await asyncio.to_thread(file.write_bytes, await answer.get_data(as_text=False))
    return file


async def fill(audit: "Audit", make_event: "MakeEvent", tenant: str) -> None:
    """Append entries, have a person erased, and sign the log."""
    person = str(uuid4())
    numbered = [make_event(tenant=tenant, data={"number": number}, sourceip="192.0.2.7") for number in range(NUMBER)]
    about = make_event(tenant=tenant, subject=f"users/{person}", actorid=person, data={"userName": "bjensen"})
    await audit.record([*numbered[:10], about, *numbered[10:]])
    headers = audit.tokens.headers(tenant, ["audit:erase"])
    assert (await audit.client.post("/audit/erasures", headers=headers, json={"user": person})).status_code == 202
    await audit.deliver(tenant)
    await carry_out_all(audit.container)
    await audit.deliver(tenant)
    await CheckpointSigner(audit.container).run()


async def test_a_restored_log_has_the_same_entries_and_proofs_and_goes_on(
    audit: "Audit", other: RunningService, make_event: "MakeEvent", tmp_path: Path
) -> None:
    tenant = new_tenant()
    await fill(audit, make_event, tenant)
    lines = await archive_of(audit.service, tenant)
    await restore(other, tenant, lines)

    assert await entries_of(other, tenant) == await entries_of(audit.service, tenant)
    assert any(entry.get("erased") for entry in await entries_of(other, tenant))
    bundled = [json.loads(line)["data"] for line in lines if json.loads(line)["kind"] == "bundle"]
    old = Checkpoint.decode(SignedNote.decode(bundled[-1]["checkpoint"]).text)
    assert old.size == NUMBER + 3

    await CheckpointSigner(other.container).run()
    async with other.container.database.transaction() as connection:
        frontier = await tree_store.get_frontier(connection, tenant)
        assert frontier is not None
        assert frontier.root() == old.root
    again = await archive_of(other, tenant)
    assert [json.loads(line)["data"]["leaf"] for line in again if b'"leaf":' in line and b'"sequence":' in line] == [
        line["leaf"] for line in bundled if "sequence" in line
    ]
    bundle = await bundle_of(other, tenant, tmp_path / "restored.ndjson")
    assert verify_files([bundle], Trust(State(tmp_path / "state")), tenant).is_verified


async def test_the_archived_bundle_is_itself_verified(audit: "Audit", make_event: "MakeEvent", tmp_path: Path) -> None:
    tenant, file = new_tenant(), tmp_path / "bundle.ndjson"
    await fill(audit, make_event, tenant)
    lines = await archive_of(audit.service, tenant)
    kind = b'{"kind":"bundle","data":'
    bundle = b"".join(line.removeprefix(kind)[:-2] + b"\n" for line in lines if line.startswith(kind))
    await asyncio.to_thread(file.write_bytes, bundle)
    assert verify_files([file], Trust(State(tmp_path / "state")), tenant).is_verified


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"sequence":7,', b'"sequence":8,', "expected the entry 7 with its facts, got 8"),
        (OWN, FORGED, "the leaf of the entry 0 does not commit to what is there of it"),
        (b'"format":1', b'"format":2', "in format 2"),
        (b'"service":"audit"', b'"service":"users"', "it is of users"),
    ],
)
async def test_a_changed_line_is_refused_and_stores_nothing(
    audit: "Audit", other: RunningService, make_event: "MakeEvent", old: bytes, new: bytes, problem: str
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant, data={"n": 1}) for _ in range(10)])
    await CheckpointSigner(audit.container).run()
    lines = await archive_of(audit.service, tenant)
    assert old in b"".join(lines)
    status, answer = await send(other, tenant, [b"".join(lines).replace(old, new, 1)])
    assert (status, answer["code"]) == (400, "bad_archive")
    assert problem in answer["detail"]
    assert await entries_of(other, tenant) == []
    await restore(other, tenant, lines)


async def test_an_entry_that_the_checkpoint_does_not_have_is_refused_at_the_end(
    audit: "Audit", other: RunningService, make_event: "MakeEvent"
) -> None:
    tenant, longer = new_tenant(), new_tenant()
    await audit.record([make_event(tenant=name) for name in (tenant, longer) for _ in range(3)])
    await CheckpointSigner(audit.container).run()
    lines = await archive_of(audit.service, tenant)
    end = next(line for line in await archive_of(audit.service, longer) if b'"checkpoint":' in line)
    changed = [end if b'"checkpoint":' in line else line for line in lines]
    status, answer = await send(other, tenant, changed)
    assert (status, answer["code"]) == (400, "bad_archive")
    assert "not those of the checkpoint" in answer["detail"]


async def test_a_tenant_with_data_and_another_archive_are_refused(
    audit: "Audit", other: RunningService, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    await CheckpointSigner(audit.container).run()
    lines = await archive_of(audit.service, tenant)
    status, answer = await send(audit.service, tenant, lines)
    assert (status, answer["code"]) == (409, "tenant_taken")
    assert (await send(other, tenant, lines[:2]))[0] == 200
    status, answer = await send(other, tenant, lines, archive="b" * 64)
    assert (status, answer["code"]) == (409, "other_archive")
    assert ARCHIVE in answer["detail"]


async def test_the_role_that_serves_can_note_erased_parts_only_while_a_tenant_is_restored(
    other: RunningService,
) -> None:
    async with other.container.database.transaction() as connection:
        with pytest.raises(Exception, match="is not being restored"):
            await connection.fetchval("SELECT restore_erased_parts('acme', '{0}', '{actor}', '{now}', $1)", [uuid4()])


async def test_the_archive_is_recorded_in_the_log_of_its_caller(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    await CheckpointSigner(audit.container).run()
    await archive_of(audit.service, tenant)
    recorded = [one for one in await audit.service.outbox(SYSTEM_TENANT) if one.action == "audit.data.archived"]
    assert {"tenant": tenant, "format": 1} in [one.data for one in recorded]


async def test_a_log_without_a_checkpoint_or_with_expired_entries_is_not_archived(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_usecases, "WAIT", 0.0)
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant) for _ in range(3)])
    headers = audit.tokens.headers(SYSTEM_TENANT, ["platform:admin"])
    answer = await audit.client.get(f"/audit/data/archive?tenant={tenant}", headers=headers)
    assert (answer.status_code, (await answer.get_json())["code"]) == (503, "checkpoint_pending")
    await CheckpointSigner(audit.container).run()
    async with audit.owner.database.transaction() as connection:
        await connection.execute("INSERT INTO retentions VALUES ($1, 30, now(), 'tester')", tenant)
        await connection.execute("ALTER TABLE pruned_logs DISABLE TRIGGER pruned_logs_expired")
        await connection.execute("INSERT INTO pruned_logs VALUES ($1, 2, now(), now())", tenant)
        await connection.execute("ALTER TABLE pruned_logs ENABLE TRIGGER pruned_logs_expired")
    answer = await audit.client.get(f"/audit/data/archive?tenant={tenant}", headers=headers)
    document = await answer.get_json()
    assert (answer.status_code, document["code"]) == (409, "log_pruned")
    assert "The first 2 entries" in document["detail"]


@pytest.mark.parametrize("tenant", [SYSTEM_TENANT, "", "No Tenant"])
async def test_only_a_tenant_of_a_customer_is_archived_and_restored(audit: "Audit", tenant: str) -> None:
    headers = audit.tokens.headers(SYSTEM_TENANT, ["platform:admin"])
    answer = await audit.client.get("/audit/data/archive", query_string={"tenant": tenant}, headers=headers)
    assert (answer.status_code, (await answer.get_json())["code"]) == (400, "bad_parameter")
    status, document = await send(audit.service, tenant, [])
    assert (status, document["code"]) == (400, "bad_parameter")


async def test_the_key_of_digests_and_accepted_events_are_restored(audit: "Audit", other: RunningService) -> None:
    tenant = new_tenant()
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.made", "subject": "orders/2026-0815"}
    headers = audit.tokens.headers(tenant, ["audit:write"])
    headers["Content-Type"] = "application/cloudevents+json"
    answer = await audit.client.post("/audit/events", headers=headers, data=json.dumps(event))
    assert answer.status_code == 202, await answer.get_data()
    await audit.deliver(tenant)
    await CheckpointSigner(audit.container).run()
    await restore(other, tenant, await archive_of(audit.service, tenant))
    asking = other.tokens.headers(tenant, ["audit:read"])
    found = await other.client.get("/audit/events?resource=2026-0815", headers=asking)
    assert len((await found.get_json(force=True))["events"]) == 1
    headers = other.tokens.headers(tenant, ["audit:write"])
    headers["Content-Type"] = "application/cloudevents+json"
    answer = await other.client.post("/audit/events", headers=headers, data=json.dumps(event))
    assert answer.status_code == 202
    assert await other.outbox(tenant) == []  # it is known already


async def test_a_restored_entry_waits_for_its_checkpoint_since_it_was_restored(
    audit: "Audit", other: RunningService, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    container = audit.container
    async with container.database.transaction() as connection:
        await record_events(connection, [make_event(tenant=tenant)], container.clock() - timedelta(hours=1))
    await CheckpointSigner(container).run()
    await CheckpointSigner(other.container).run()
    await restore(other, tenant, await archive_of(audit.service, tenant))
    async with other.container.database.transaction() as connection:
        oldest = await continuity_store.read_unsigned(connection)
        assert oldest is not None
        assert (oldest.log, oldest.age < 1000) == (tenant, True)
        await connection.execute(
            "UPDATE restores SET stored_at = now() - interval '1 hour' WHERE tenant_id = $1", tenant
        )
        oldest = await continuity_store.read_unsigned(connection)
        assert oldest is not None
        assert oldest.age > 1000
