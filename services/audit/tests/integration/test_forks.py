"""No checkpoint is signed that contradicts an earlier one: of changed logs, or of a database older than a file."""

import base64
import copy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from quartet_audit.checkpoints import checkpoint_usecases
from quartet_audit.checkpoints.checkpoint_domain import Checkpoint
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_common.core.errors import UnavailableError
from quartet_testing.services import new_tenant
from quartet_testing.tlog import Head, verify

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

READ = ["audit:read"]


def make_signer(audit: "Audit", **settings: Any) -> CheckpointSigner:
    """A signer with other settings than those of the service."""
    container = copy.copy(audit.container)
    container.config = audit.container.config.model_copy(update=settings)
    return CheckpointSigner(container)


async def note_of(audit: "Audit", tenant: str = "") -> str:
    """The last checkpoint of a tenant, or of the deployment log."""
    headers = audit.tokens.headers(tenant, READ) if tenant else {}
    response = await audit.client.get(f"/audit/log/{tenant}/checkpoint".replace("//", "/"), headers=headers)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


async def head_of(audit: "Audit", tenant: str = "") -> Head:
    """The same, verified by its first key that signs now."""
    headers = audit.tokens.headers(tenant, READ) if tenant else {}
    response = await audit.client.get(f"/audit/log/{tenant}/keys".replace("//", "/"), headers=headers)
    [vkey, *_] = [key["vkey"] for key in json.loads(await response.get_data())["keys"] if key["until"] is None]
    return verify((await note_of(audit, tenant)).encode(), vkey)


@asynccontextmanager
async def changed(audit: "Audit", table: str, change: str, back: str, *values: object) -> AsyncIterator[None]:
    """A statement that the triggers of a table refuse, taken back afterwards by another one."""
    for number, statement in enumerate((change, back)):
        if number:
            yield
        async with audit.owner.database.transaction() as connection:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await connection.execute(statement, *values)
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def problem_of(signer: CheckpointSigner) -> str:
    """What readiness says of a signer that refuses."""
    with pytest.raises(UnavailableError) as caught:
        await signer.check()
    return caught.value.problem


@pytest.mark.parametrize(
    "case", ["smaller", "other frontier", "other signed frontier", "other note", "other leaf", "no leaf", "no log"]
)
async def test_a_log_that_does_not_match_its_checkpoint_is_not_signed_and_others_are(
    audit: "Audit", make_event: "MakeEvent", case: str
) -> None:
    tenant, other, signer = new_tenant(), new_tenant(), CheckpointSigner(audit.container)
    await audit.record([make_event(tenant=tenant) for _ in range(2)])
    await signer.run()
    before = await note_of(audit, tenant)
    await audit.record([make_event(tenant=tenant), make_event(tenant=other)])
    async with audit.container.database.connection() as connection:
        row = await connection.fetchrow("SELECT size, frontier FROM logs WHERE tenant_id = $1", tenant)
        leaf = await connection.fetchval("SELECT leaf FROM leaves WHERE tenant_id = $1 AND sequence = 2", tenant)
    assert row is not None
    size, frontier, leaf = row["size"], bytes(row["frontier"]).hex(), bytes(leaf).hex()
    where = "WHERE tenant_id = $1"
    log = f"UPDATE logs SET size = {size}, frontier = '\\x{frontier}' {where}"
    table, change, back = {
        "smaller": ("logs", f"UPDATE logs SET size = 1, frontier = sha256('1') {where}", log),
        "other frontier": ("logs", f"UPDATE logs SET frontier = sha256('1') || sha256('2') {where}", log),
        "other signed frontier": (
            "checkpoints",
            f"UPDATE checkpoints SET frontier = sha256('1') {where}",
            f"UPDATE checkpoints SET frontier = substring('\\x{frontier}'::bytea FOR 32) {where}",
        ),
        "other note": (
            "checkpoints",
            f"UPDATE checkpoints SET note = 'none' {where}",
            f"UPDATE checkpoints SET note = '{before}' {where}",
        ),
        "other leaf": (
            "leaves",
            f"UPDATE leaves SET leaf = '\\x00' {where} AND sequence = 2",
            f"UPDATE leaves SET leaf = '\\x{leaf}' {where} AND sequence = 2",
        ),
        "no leaf": (
            "leaves",
            f"DELETE FROM leaves {where} AND sequence = 2",
            f"INSERT INTO leaves (tenant_id, sequence, leaf) VALUES ($1, 2, '\\x{leaf}')",
        ),
        "no log": (
            "logs",
            f"DELETE FROM logs {where}",
            f"INSERT INTO logs (tenant_id, size, frontier) VALUES ($1, {size}, '\\x{frontier}')",
        ),
    }[case]
    async with changed(audit, table, change, back, tenant):
        await signer.run()
        assert await note_of(audit, tenant) == ("none" if case == "other note" else before)
        assert (await head_of(audit, other)).size == 1
        assert await problem_of(signer) == f"logs do not match their last checkpoints: {tenant}"
    await signer.run()
    assert await signer.check()
    assert (await head_of(audit, tenant)).size == 3


async def test_an_older_database_than_the_file_is_refused_until_it_is_accepted(
    audit: "Audit", make_event: "MakeEvent", tmp_path: Path
) -> None:
    file, tenant = tmp_path / "checkpoint", new_tenant()
    await audit.record([make_event(tenant=tenant)])
    await make_signer(audit, checkpoint_file=file).run()
    now = await head_of(audit)
    assert file.read_text() == await note_of(audit)
    ahead = Checkpoint(now.origin, now.size + 1, sha256().digest())
    file.write_text((await note_of(audit)).replace(now.text.decode(), ahead.text))
    await audit.record([make_event(tenant=tenant)])
    signer = make_signer(audit, checkpoint_file=file)
    await signer.run()
    problem = await problem_of(signer)
    assert f"of {now.size} leaves is older than a checkpoint of {now.size + 1} leaves" in problem
    assert f"QUARTET_ACCEPT_LOG_SIZE={now.size}" in problem
    assert (await head_of(audit)).size == now.size
    await make_signer(audit, checkpoint_file=file, accept_log_size=now.size + 1).run()
    assert (await head_of(audit)).size == now.size
    accepting = make_signer(audit, checkpoint_file=file, accept_log_size=now.size)
    await accepting.run()
    assert await accepting.check()
    assert (await head_of(audit)).size == now.size + 1
    assert file.read_text() == await note_of(audit)
    await audit.record([make_event(tenant=tenant)])
    await accepting.run()  # the setting may stay: the log has another size now
    assert (await head_of(audit)).size == now.size + 2


@pytest.mark.parametrize("behind", [0, 1])
async def test_a_database_with_another_history_than_the_file_is_refused(
    audit: "Audit", make_event: "MakeEvent", tmp_path: Path, behind: int
) -> None:
    file, tenant = tmp_path / "checkpoint", new_tenant()
    signer = make_signer(audit, checkpoint_file=file)
    for _ in range(2):
        await audit.record([make_event(tenant=tenant)])
        await signer.run()
    now = await head_of(audit)
    other = Checkpoint(now.origin, now.size - behind, sha256(b"other").digest())
    file.write_text((await note_of(audit)).replace(now.text.decode(), other.text))
    await audit.record([make_event(tenant=tenant)])
    refusing = make_signer(audit, checkpoint_file=file)
    await refusing.run()
    assert f"does not contain the checkpoint of {other.size} leaves" in await problem_of(refusing)
    assert (await head_of(audit)).size == now.size


async def test_a_file_that_is_behind_or_missing_is_no_reason_to_refuse(
    audit: "Audit", make_event: "MakeEvent", tmp_path: Path
) -> None:
    file, tenant = tmp_path / "checkpoint", new_tenant()
    await audit.record([make_event(tenant=tenant)])
    await make_signer(audit, checkpoint_file=file).run()
    old = file.read_text()
    for _ in range(3):
        await audit.record([make_event(tenant=tenant)])
        await CheckpointSigner(audit.container).run()
    assert file.read_text() == old
    await audit.record([make_event(tenant=tenant)])
    signer = make_signer(audit, checkpoint_file=file)
    await signer.run()
    assert await signer.check()
    assert file.read_text() == await note_of(audit)


@pytest.mark.parametrize("text", ["", "no note", "origin\n1\nno hash\n\n\u2014 a AAAAAAAA\n"])
async def test_a_file_without_a_checkpoint_is_refused(
    audit: "Audit", make_event: "MakeEvent", tmp_path: Path, text: str
) -> None:
    file, tenant = tmp_path / "checkpoint", new_tenant()
    file.write_text(text)
    await audit.record([make_event(tenant=tenant)])
    signer = make_signer(audit, checkpoint_file=file)
    await signer.run()
    assert "has no checkpoint" in await problem_of(signer)
    assert file.read_text() == text


async def test_a_file_that_cannot_be_written_is_reported(
    audit: "Audit", make_event: "MakeEvent", tmp_path: Path
) -> None:
    signer = make_signer(audit, checkpoint_file=tmp_path / "missing" / "checkpoint")
    await audit.record([make_event(tenant=new_tenant())])
    await signer.run()
    assert "cannot be written" in await problem_of(signer)


async def test_a_deployment_log_that_does_not_match_its_checkpoint_is_refused(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant, signer = new_tenant(), CheckpointSigner(audit.container)
    await audit.record([make_event(tenant=tenant)])
    await signer.run()
    now = await head_of(audit)
    async with audit.container.database.connection() as connection:
        frontier = bytes(await connection.fetchval("SELECT frontier FROM logs WHERE tenant_id = ''")).hex()
    await audit.record([make_event(tenant=tenant)])
    change = "UPDATE logs SET frontier = sha256(frontier) || substring(frontier FROM 33) WHERE tenant_id = ''"
    async with changed(audit, "logs", change, f"UPDATE logs SET frontier = '\\x{frontier}' WHERE tenant_id = ''"):
        await signer.run()
        assert "does not match its last checkpoint" in await problem_of(signer)
        assert (await head_of(audit)).size == now.size
    await signer.run()
    assert await signer.check()
    assert (await head_of(audit)).size == now.size + 1


async def test_a_log_that_has_grown_by_much_is_signed_in_steps(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    await CheckpointSigner(audit.container).run()
    monkeypatch.setattr(checkpoint_usecases, "MAX_LEAVES", 10)
    tenant, before = new_tenant(), await head_of(audit)
    await audit.record([make_event(tenant=tenant) for _ in range(35)])
    await CheckpointSigner(audit.container).run()
    assert (await head_of(audit, tenant)).size == 35
    assert (await head_of(audit)).size == before.size + 4


async def test_a_deployment_log_without_its_tiles_is_refused(
    audit: "Audit", make_event: "MakeEvent", tmp_path: Path
) -> None:
    """So that the history before the remembered checkpoint cannot be proven any more."""
    file, tenants = tmp_path / "checkpoint", [new_tenant() for _ in range(260)]
    await audit.record([make_event(tenant=tenant) for tenant in tenants])
    await make_signer(audit, checkpoint_file=file).run()
    await audit.record([make_event(tenant=tenants[0])])
    await CheckpointSigner(audit.container).run()
    await audit.record([make_event(tenant=tenants[0])])
    async with audit.container.database.connection() as connection:
        tile = await connection.fetchval("SELECT hashes FROM tiles WHERE tenant_id = '' AND level = 1 AND index = 0")
    remove, where = "DELETE FROM tiles", "tenant_id = '' AND level = 1 AND index = 0"
    back = f"INSERT INTO tiles (tenant_id, level, index, hashes) VALUES ('', 1, 0, '\\x{bytes(tile).hex()}')"
    async with changed(audit, "tiles", f"{remove} WHERE {where}", back):
        signer = make_signer(audit, checkpoint_file=file)
        await signer.run()
        assert "does not contain the checkpoint" in await problem_of(signer)
    await signer.run()
    assert await signer.check()


async def test_keys_that_cannot_be_decrypted_sign_nothing(audit: "Audit", make_event: "MakeEvent") -> None:
    await CheckpointSigner(audit.container).run()
    before = await note_of(audit)
    await audit.record([make_event(tenant=new_tenant())])
    signer = make_signer(audit, master_key=SecretStr(base64.urlsafe_b64encode(bytes(32)).decode()))
    await signer.run()
    assert "QUARTET_MASTER_KEY has changed" in await problem_of(signer)
    assert await note_of(audit) == before


async def test_nothing_is_signed_before_a_key_is_valid(audit: "Audit", make_event: "MakeEvent") -> None:
    """As when the clock of PostgreSQL is behind that of the server that made the keys."""
    await CheckpointSigner(audit.container).run()
    before = await note_of(audit)
    await audit.record([make_event(tenant=new_tenant())])
    signer = make_signer(audit)
    signer._container.clock = lambda: datetime(2020, 1, 1, tzinfo=UTC)
    await signer.run()
    assert "no signing key is valid at 2020-01-01" in await problem_of(signer)
    assert await note_of(audit) == before
    signer._container.clock = audit.container.clock
    await signer.run()
    assert await signer.check()


async def test_what_needs_a_missing_tile_is_answered_by_503(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant) for _ in range(257)])
    await CheckpointSigner(audit.container).run()
    headers = audit.tokens.headers(tenant, READ)
    async with audit.owner.database.transaction() as connection:
        await connection.execute("ALTER TABLE tiles DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM tiles WHERE tenant_id = $1 AND level = 1", tenant)
        await connection.execute("ALTER TABLE tiles ENABLE TRIGGER USER")
        entry = await connection.fetchval("SELECT id FROM entries WHERE tenant_id = $1 AND sequence = 256", tenant)
    log = f"/audit/log/{tenant}"
    for path in (f"{log}/tile/1/000.p/1", f"/audit/events/{entry}/proof"):
        response = await audit.client.get(path, headers=headers)
        assert (response.status_code, json.loads(await response.get_data())["code"]) == (503, "log_damaged"), path
