"""Clusters: PostgreSQL servers of a test's own, to fill, demote and promote, and a port that leads to one of them."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from quartet_cli import binaries, ports
from quartet_cli.accounts import is_root, postgres_user
from quartet_cli.stack import Stack
from quartet_testing.conditions import eventually

OWNER = "postgres"
PASSWORD = "cluster"  # noqa: S105  # nosec B105  # of a server that one test uses
SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
}


def skip_fsync(stack: Stack) -> None:
    """Have the PostgreSQL of a stack wait for no disk: what it has written outlives its processes, which tests kill,
    but not a crash of the machine.
    """
    secret = (stack.home.secrets / "postgres/password").read_text().strip()
    url = f"postgresql://postgres@{ports.HOST}:{stack.state.ports['postgres']}/postgres"
    command = [str(binaries.find().postgres / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", url]
    for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
        command += ["-c", statement]
    subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": secret}, stdout=subprocess.DEVNULL)


@contextmanager
def cluster_folder() -> Iterator[Path]:
    """A folder for clusters, owned by the account that PostgreSQL runs as; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="quartet-cluster-"))
    give(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def give(folder: Path) -> None:
    """Make the account that PostgreSQL runs as the owner of `folder`."""
    if is_root():
        os.chown(folder, postgres_user().pw_uid, postgres_user().pw_gid)


class Cluster:
    """A PostgreSQL with its data in `data`; the owner's role is OWNER with `password`."""

    def __init__(
        self, data: Path, port: int, *, password: str = PASSWORD, settings: Mapping[str, str] = SETTINGS
    ) -> None:
        self.data = data
        self.port = port
        self.password = password
        self._settings = settings
        self._programs = binaries.find().postgres
        self._process: subprocess.Popen[bytes] | None = None

    def make(self, *options: str) -> None:
        """initdb, with further `options`."""
        password = self.data.with_name(f"{self.data.name}.password")
        password.write_text(self.password)
        give(password)
        common = ["-U", OWNER, f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        self._run("initdb", "-D", str(self.data), *common, "--no-sync", *options)

    def make_standby_of(self, primary: "Cluster") -> None:
        """pg_basebackup: a standby that follows `primary`."""
        source = f"host={ports.HOST} port={primary.port} user={OWNER} password={primary.password}"
        self._run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")

    async def start(self) -> None:
        """Returns once it takes connections."""
        self._process = self._launch()

        async def answers() -> bool:
            with suppress(OSError, asyncpg.PostgresError):
                return bool(await self.ask("SELECT true"))
            return False

        await eventually(answers, f"the cluster on port {self.port} to start")

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings]
        with self.data.with_name(f"{self.data.name}.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_as_owner())

    def stop(self) -> None:
        """Immediate shutdown, as in a crash; does nothing to one that does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Its connections stay open and nobody answers inside the block; `kill` works there."""
        assert self._process is not None
        processes = [psutil.Process(self._process.pid)]
        processes[0].suspend()  # first, so that it has no more children than those that are paused next
        processes += processes[0].children(recursive=True)
        try:
            for process in processes[1:]:
                process.suspend()
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def kill(self) -> None:
        """SIGKILL, also for a paused one."""
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        for process in (*main.children(recursive=True), main):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(20)
        self._process = None

    def promote(self) -> None:
        """Make a standby the primary; returns once it is."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "promote")

    async def demote(self) -> None:
        """Refuse writes, on the connections too that are open: what remains of a primary after a failover."""
        await self.ask("ALTER SYSTEM SET default_transaction_read_only = on")
        await self.ask("SELECT pg_reload_conf()")

    async def ask(self, query: str, database: str = "postgres") -> Any:
        """The first value that `query` gives. Raises the driver's error."""
        connection = await asyncpg.connect(
            host=ports.HOST, port=self.port, user=OWNER, password=self.password, database=database, timeout=5
        )
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def follows(self, primary: "Cluster") -> None:
        """Wait until this standby has replayed what `primary` has written."""
        position = await primary.ask("SELECT pg_current_wal_lsn()::text")

        async def has_replayed() -> bool:
            return bool(await self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"))

        await eventually(has_replayed, "the standby to catch up")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, **_as_owner())
        assert done.returncode == 0, done.stdout + done.stderr


def _as_owner() -> dict[str, Any]:
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    if not is_root():
        return {"env": environment, "cwd": "/"}
    account = postgres_user()
    return {"env": environment, "cwd": "/", "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


class Forwarder:
    """A TCP port that leads to `target`; connections that are open stay where they were led."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.is_silent = False
        """While it is true, nothing is forwarded, on open connections too: the way of a machine that is dead."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Forwarder"]:
        """It forwards inside the block."""
        server = await asyncio.start_server(self._forward, ports.HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            other_reader, other_writer = await asyncio.open_connection(ports.HOST, self.target)
            await asyncio.gather(self._pump(reader, other_writer), self._pump(other_reader, writer))
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.is_silent:
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()
