"""A backup by pg_dump, restored into another database: its logs are verified, and an older state is noticed."""

import asyncio
import copy
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from quartet_audit.app import SERVICE
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.config import AuditConfig
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import State
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import verify_files
from quartet_cli import binaries
from quartet_cli.stack import Stack
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.container import AppContainer
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

SERVER = "127.0.0.1"


async def verify(service: RunningService, tenant: str, state: Path) -> Report:
    """The report of the log as the service exports it now."""
    headers = service.tokens.headers(tenant, ["audit:export"])
    answer = await service.client.get("/audit/export?format=bundle", headers=headers)
    bundle = state.with_suffix(".ndjson")
    bundle.write_bytes(await answer.get_data(as_text=False))
    return verify_files([bundle], Trust(State(state)), tenant)


def signer_of(container: AppContainer[AuditConfig], file: Path, accepted: int | None = None) -> CheckpointSigner:
    """A worker's signer that writes its checkpoints to a file."""
    changed = copy.copy(container)
    changed.config = container.config.model_copy(update={"checkpoint_file": file, "accept_log_size": accepted})
    return CheckpointSigner(changed)


async def run(program: str, *arguments: str, environment: dict[str, str]) -> None:
    """Run a program of PostgreSQL."""
    path = str(binaries.find().postgres / program)
    process = await asyncio.create_subprocess_exec(path, *arguments, env={**os.environ, **environment})
    assert await process.wait() == 0, program


def moved(config: AuditConfig, database: str) -> AuditConfig:
    """The config for another database."""
    return config.model_copy(update={"database_url": f"{config.database_url.rpartition('/')[0]}/{database}"})


@asynccontextmanager
async def restored(
    servers: Stack, config: AuditConfig, migrating: AuditConfig, dump: Path
) -> AsyncIterator[RunningService]:
    """The service on a new database with what `dump` has."""
    port, name = servers.state.ports["postgres"], f"test_{uuid4().hex}"
    secret = (servers.home.secrets / "postgres/password").read_text().strip()
    login = {"PGHOST": SERVER, "PGPORT": str(port), "PGUSER": "postgres", "PGPASSWORD": secret}
    owner = await asyncpg.connect(host=SERVER, port=port, user="postgres", password=secret, database="quartet")
    try:
        await owner.execute(f"CREATE DATABASE {name}")
        await owner.execute(f"ALTER ROLE quartet_audit IN DATABASE {name} SET search_path = audit")
        await owner.execute(f"GRANT CONNECT ON DATABASE {name} TO quartet_audit, quartet_audit_owner")
        await owner.execute(f"ALTER ROLE quartet_audit_owner IN DATABASE {name} SET search_path = audit")
        await run("pg_restore", "-d", name, str(dump), environment=login)
        async with run_service(SERVICE, moved(config, name), moved(migrating, name)) as service:
            yield service
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await owner.close()


async def test_a_restored_backup_is_verified_and_not_signed_until_its_loss_is_accepted(
    audit: "Audit", make_event: "MakeEvent", servers: Stack, config_for: ConfigFor[AuditConfig], tmp_path: Path
) -> None:
    tenant, file, state = new_tenant(), tmp_path / "checkpoint", tmp_path / "state"
    await audit.record([make_event(tenant=tenant, data={"number": number}) for number in range(300)])
    await signer_of(audit.container, file).run()
    assert (await verify(audit.service, tenant, state)).is_verified
    shutil.copytree(state, tmp_path / "earlier")
    secret = (servers.home.secrets / "postgres/password").read_text().strip()
    login = {"PGHOST": SERVER, "PGPORT": str(servers.state.ports["postgres"]), "PGUSER": "postgres"}
    dump = tmp_path / "audit.dump"
    await run(
        *("pg_dump", "-Fc", "-n", "audit", "-f", str(dump), "quartet"), environment={**login, "PGPASSWORD": secret}
    )
    await audit.record([make_event(tenant=tenant)])
    await signer_of(audit.container, file).run()
    assert (await verify(audit.service, tenant, state)).is_verified

    async with restored(servers, config_for(AuditConfig), config_for(AuditConfig, "migrate"), dump) as older:
        assert (await verify(older, tenant, tmp_path / "earlier")).is_verified
        assert (await verify(older, tenant, state)).findings.has("rolled_back")
        async with older.container.database.connection() as connection:
            size = await connection.fetchval("SELECT size FROM logs WHERE tenant_id = ''")
        signer = signer_of(older.container, file)
        await signer.run()
        with pytest.raises(UnavailableError) as caught:
            await signer.check()
        assert f"QUARTET_ACCEPT_LOG_SIZE={size}" in caught.value.problem
        await signer_of(older.container, file, accepted=size).run()
        assert (await verify(older, tenant, tmp_path / "earlier")).is_verified
