"""A connection pooler between a service and PostgreSQL: refused at the start, with the reason."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart

from quartet_cli import ports
from quartet_cli.accounts import is_root, postgres_user
from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.process import Service, prepare, require_schema
from quartet_testing.clusters import cluster_folder, give
from quartet_testing.conditions import eventually

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
MODES = [("session", "search_path,jit"), ("transaction", "search_path,jit"), ("transaction", "extra_float_digits")]
"""The mode, and the settings of a session that it passes over: others it refuses."""

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed; ./quartet test installs it")


@pytest.fixture(params=MODES, ids=" ".join)
async def pooled(request: pytest.FixtureRequest, config: ServiceConfig) -> AsyncIterator[ServiceConfig]:
    """The config of `common` with PgBouncer in front of PostgreSQL."""
    with cluster_folder() as folder:
        mode, ignored = request.param
        [port] = ports.choose(1, set())
        process = launch(write_configuration(folder, config, port, mode, ignored))
        try:
            await eventually(lambda: listens(port), "pgbouncer to listen")
            yield config.model_copy(update={"database_url": f"postgresql://quartet_common@127.0.0.1:{port}/quartet"})
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)


def launch(configuration: Path) -> subprocess.Popen[bytes]:
    command = [str(PGBOUNCER), "-q", str(configuration)]
    account = postgres_user().pw_uid if is_root() else None
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=account
    )


def write_configuration(folder: Path, config: ServiceConfig, port: int, mode: str, ignored: str) -> Path:
    there = config.database_url.rpartition("@")[2].partition("/")[0].rpartition(":")[2]
    password = config.database_password.get_secret_value()
    users = folder / "users.txt"
    users.write_text(f'"quartet_common" "{password}"\n')
    file = folder / "pgbouncer.ini"
    file.write_text(f"""
[databases]
quartet = host=127.0.0.1 port={there} user=quartet_common password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
ignore_startup_parameters = {ignored}
logfile = {folder / "log"}
""")
    for path in (users, file):
        give(path)
    return file


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_no_process_starts_on_a_pooler_and_it_says_what_to_set(pooled: ServiceConfig) -> None:
    reason = "QUARTET_DATABASE_URL leads to a connection pooler at 127.0.0.1:"
    service: Service[Any] = Service(
        package="quartet_common",
        config_class=type(pooled),
        create_app=lambda _: Quart("common"),
        subscriptions=lambda _: [],
    )
    with pytest.raises(SystemExit, match=reason):
        await prepare(service, pooled)
    with pytest.raises(SystemExit, match=reason):
        await require_schema(service.package, pooled)
