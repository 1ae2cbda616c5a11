"""Sentinels: a Redis, its replica and the sentinel that watches them, of a test's own."""

import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from quartet_cli import binaries, ports
from quartet_testing.conditions import eventually

MASTER = "mymaster"
PASSWORD, SENTINEL_PASSWORD = "of-redis", "of-the-sentinel"
SILENCE = 300
"""Milliseconds without an answer after which the sentinel counts the master as down."""


class SentinelServers:
    """Two Redis and a sentinel in `folder`; with `pair` (certificate and key) and `authority` they speak only TLS."""

    def __init__(self, folder: Path, pair: tuple[Path, Path] | None = None, authority: Path | None = None) -> None:
        self._folder = folder
        self._pair = pair
        self._authority = authority
        self.master, self.replica, self.sentinel = ports.choose(3, set())
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SentinelServers"]:
        """They run inside the block, and the sentinel knows the replica."""
        keys = [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0", 'save ""']
        try:
            self._start(self.master, keys)
            self._start(self.replica, [*keys, f"replicaof {ports.HOST} {self.master}"])
            await eventually(self._is_in_step, "the replica to be in step")
            self._start(
                self.sentinel,
                [
                    f"requirepass {SENTINEL_PASSWORD}",
                    f"sentinel monitor {MASTER} {ports.HOST} {self.master} 1",
                    f"sentinel auth-pass {MASTER} {PASSWORD}",
                    f"sentinel down-after-milliseconds {MASTER} {SILENCE}",
                    f"sentinel failover-timeout {MASTER} 5000",
                ],
                "--sentinel",
            )
            await eventually(self._is_watched, "the sentinel to know the replica")
            yield self
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait(20)

    def kill_master(self) -> None:
        """SIGKILL for the first master."""
        self._processes[self.master].kill()
        self._processes[self.master].wait(20)

    async def current_master(self) -> int:
        """The port of the master that the sentinel names."""
        async with self._client(self.sentinel) as sentinel:
            found: Any = await sentinel.sentinel_get_master_addr_by_name(MASTER)
        return int(found[1])

    async def has_keys(self, port: int, pattern: str) -> bool:
        """Whether the Redis on `port` has a key of that pattern."""
        async with self._client(port) as client:
            return bool(await client.keys(pattern))

    async def _is_in_step(self) -> bool:
        """Before the sentinel starts, which asks the master for its replicas every 10 s only."""
        with suppress(RedisError, OSError):
            async with self._client(self.replica) as replica:
                found: Any = await replica.info("replication")
            return bool(found["master_link_status"] == "up")
        return False

    async def _is_watched(self) -> bool:
        with suppress(RedisError, OSError):
            async with self._client(self.sentinel) as sentinel:
                masters: Any = await sentinel.sentinel_masters()
            return bool(masters[MASTER]["num-slaves"] == 1)
        return False

    def _client(self, port: int) -> Redis:
        tls: dict[str, Any] = {} if self._authority is None else {"ssl": True, "ssl_ca_certs": str(self._authority)}
        password = SENTINEL_PASSWORD if port == self.sentinel else PASSWORD
        return Redis(host=ports.HOST, port=port, password=password, decode_responses=True, **tls)

    def _start(self, port: int, settings: Sequence[str], *options: str) -> None:
        folder = self._folder / str(port)
        folder.mkdir()
        lines = [f"bind {ports.HOST}", f'dir "{folder}"', *self._listening(port), *settings]
        (folder / "redis.conf").write_text("\n".join(lines) + "\n")
        command = [str(binaries.find().redis), str(folder / "redis.conf"), *options]
        with (folder / "log").open("wb") as log:
            self._processes[port] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _listening(self, port: int) -> list[str]:
        if self._pair is None:
            return [f"port {port}"]
        certfile, keyfile = self._pair
        return [
            *("port 0", f"tls-port {port}", "tls-replication yes", "tls-auth-clients no"),
            *(f"tls-cert-file {certfile}", f"tls-key-file {keyfile}", f"tls-ca-cert-file {self._authority}"),
        ]
