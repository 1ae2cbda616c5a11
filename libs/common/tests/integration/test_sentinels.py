"""Redis Sentinel: the master that the sentinels name is used, and another one after it has failed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from quartet_cli import ports
from quartet_common.config.settings import ServiceConfig
from quartet_common.data.cache import close_cache, open_cache
from quartet_testing.authority import Authority
from quartet_testing.conditions import eventually
from quartet_testing.sentinels import MASTER, PASSWORD, SENTINEL_PASSWORD, SentinelServers
from quartet_testing.stopwatch import stopwatch

MOST = 30.0
"""Seconds within which writes must be back."""


def at(lone_config: ServiceConfig, url: str, password: str = SENTINEL_PASSWORD, **changes: Any) -> ServiceConfig:
    values: dict[str, Any] = {
        "redis_url": url,
        "redis_password": SecretStr(PASSWORD),
        "redis_sentinel_password": SecretStr(password),
    }
    return lone_config.model_copy(update={**values, **changes})


@asynccontextmanager
async def opened(config: ServiceConfig) -> AsyncIterator[Redis]:
    client = open_cache(config)
    try:
        yield client
    finally:
        await close_cache(client)


async def port_of(client: Redis) -> int:
    """The port of the Redis that writes."""
    await client.set("key", "value", ex=60)
    found: dict[str, Any] = await client.info("server")
    return int(found["tcp_port"])


async def test_when_the_master_is_killed_the_promoted_replica_is_used(
    lone_config: ServiceConfig, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    [closed] = ports.choose(1, set())
    async with SentinelServers(tmp_path).running() as servers:
        hosts = f"127.0.0.1:{closed},127.0.0.1:{servers.sentinel}"
        async with opened(at(lone_config, f"redis+sentinel://{hosts}/{MASTER}/3")) as client:
            assert await port_of(client) == servers.master
            assert client.connection_pool.connection_kwargs["db"] == 3
            servers.kill_master()

            async def is_elsewhere() -> bool:
                try:
                    return await port_of(client) == servers.replica
                except (RedisError, OSError):
                    return False

            async with stopwatch() as watch:
                await eventually(is_elsewhere, "writes to go to the promoted replica")
            assert watch.seconds < MOST
            record_testsuite_property("seconds", watch.seconds)
            assert await servers.current_master() == servers.replica


async def test_with_tls_the_sentinels_and_the_master_are_verified(lone_config: ServiceConfig, tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path), Authority(tmp_path, "theirs")
    async with SentinelServers(tmp_path, ours.issue("127.0.0.1"), ours.bundle).running() as servers:
        url = f"rediss+sentinel://127.0.0.1:{servers.sentinel}/{MASTER}"
        async with opened(at(lone_config, url, trust=ours.bundle)) as client:
            found: dict[str, Any] = await client.info("replication")
            assert (found["role"], found["connected_slaves"]) == ("master", 1)
        async with opened(at(lone_config, url, trust=theirs.bundle)) as client:
            with pytest.raises(RedisConnectionError, match="No master found"):
                await client.ping()


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [("another", SENTINEL_PASSWORD, "No master found for 'another'"), (MASTER, "wrong", "No master found")],
)
async def test_without_a_master_or_with_a_wrong_password_redis_counts_as_unavailable(
    lone_config: ServiceConfig, sentinel: int, name: str, password: str, message: str
) -> None:
    async with opened(at(lone_config, f"redis+sentinel://127.0.0.1:{sentinel}/{name}", password)) as client:
        with pytest.raises(RedisConnectionError, match=message):
            await client.ping()


@pytest.fixture
async def sentinel(tmp_path: Path) -> AsyncIterator[int]:
    async with SentinelServers(tmp_path).running() as servers:
        yield servers.sentinel
