"""Replicas: a standby of a stack's PostgreSQL, and further nodes of its RabbitMQ."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from quartet_cli import binaries, ports
from quartet_cli.health import rabbitmq_ready
from quartet_cli.servers.files import write_private
from quartet_cli.stack import Stack
from quartet_testing.clusters import SETTINGS, Cluster
from quartet_testing.conditions import eventually
from quartet_testing.faults import kill, rabbitmqctl

REPLICATION = "host replication all 127.0.0.1/32 scram-sha-256\n"
"""What pg_hba.conf of the primary needs for a standby."""
FOLLOWS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"


class StandbyOfStack:
    """A standby of the PostgreSQL of `stack`, whose commits wait for it."""

    def __init__(self, stack: Stack, data: Path, port: int) -> None:
        self._stack = stack
        password = (stack.home.secrets / "postgres/password").read_text().strip()
        self._primary = Cluster(Path(stack.state.postgres_data), stack.state.ports["postgres"], password=password)
        settings = {**SETTINGS, "max_connections": "200"}  # no fewer than the primary has
        self.standby = Cluster(data, port, password=password, settings=settings)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StandbyOfStack"]:
        """It runs inside the block, and follows."""
        try:
            await asyncio.to_thread(self.standby.make_standby_of, self._primary)
            await self.standby.start()
            # only now: the copy must not have the setting, or its commits would wait when it is the primary
            await self._primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            await self._primary.ask("SELECT pg_reload_conf()")
            await eventually(self.follows, "the standby to follow")
            yield self
        finally:
            self.standby.stop()

    async def follows(self) -> bool:
        """Whether commits of the primary wait for the standby."""
        return bool(await self._primary.ask(FOLLOWS))

    async def fail_over(self) -> None:
        """SIGKILL for the primary, and promote the standby. Returns when it takes writes. The server that the
        supervisor starts again as the former primary takes none.
        """
        write_private(self._primary.data / "standby.signal", "", owner_of=self._primary.data)
        await kill(self._stack, "postgres")
        await asyncio.to_thread(self.standby.promote)


class RabbitNode:
    """A further node of the RabbitMQ of `stack`, with its data in `folder`."""

    def __init__(self, stack: Stack, folder: Path, chosen: Sequence[int]) -> None:
        self._stack = stack
        self._folder = folder
        self.port, distribution = chosen
        self._main = stack.programs["rabbitmq"].environment
        self.name = self._main["RABBITMQ_NODENAME"].replace("@", f"-{self.port}@")
        self._environment = {
            **self._main,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RabbitNode"]:
        """It runs inside the block, as a member of the cluster."""
        process = self._launch()
        try:
            await eventually(self._is_ready, f"the node on port {self.port} to start")
            for arguments in (["stop_app"], ["join_cluster", self._main["RABBITMQ_NODENAME"]], ["start_app"]):
                await rabbitmqctl(self._stack, *arguments, environment=self._environment)
            await eventually(self._is_ready, f"the node on port {self.port} to be in the cluster")
            yield self
        finally:
            process.kill()
            process.wait(20)

    def _launch(self) -> subprocess.Popen[bytes]:
        self._prepare()
        command, variables = [str(binaries.find().rabbitmq)], {"PATH": "/usr/bin:/bin", **self._environment}
        with (self._folder / "output").open("wb") as log:
            return subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _prepare(self) -> None:
        secrets = self._stack.home.secrets / "rabbitmq"
        lines = [f"listeners.tcp.1 = {ports.HOST}:{self.port}", "disk_free_limit.absolute = 50MB"]
        write_private(self._folder / "rabbitmq.conf", "\n".join([*lines, (secrets / "auth.conf").read_text()]))
        write_private(self._folder / "environment.conf", "")
        write_private(self._folder / "advanced.config", "[].\n")
        write_private(self._folder / "enabled_plugins", "[].\n")
        write_private(self._folder / ".erlang.cookie", (secrets / "cookie").read_text())

    async def _is_ready(self) -> bool:
        return await asyncio.to_thread(rabbitmq_ready, self.port) is None
