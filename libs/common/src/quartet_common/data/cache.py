"""The cache: Redis. Without it everything works, but slower."""

import logging
from collections.abc import Awaitable, Callable
from ssl import TLSVersion
from typing import Any, TypeVar
from urllib.parse import unquote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from quartet_common.config.server_urls import SENTINEL_PORT, master_of, read_redis_url
from quartet_common.config.settings import ServiceConfig

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = 0.25
"""Seconds that the cache may take to answer before work continues without it."""


def open_cache(config: ServiceConfig) -> Redis:
    """A client that connects at first use, with short timeouts: to the Redis of the URL, or to the master that its
    sentinels name then. End it with `close_cache`.
    """
    url = read_redis_url(config.redis_url)
    options = {
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        **(_verified(config) if url.scheme.startswith("rediss") else {}),
    }
    password = config.redis_password.get_secret_value()
    master = master_of(url)
    if master is None:
        return Redis.from_url(config.redis_url, password=password, **options)
    if url.scheme.startswith("rediss"):
        options["ssl"] = True
    sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's own
        [(host.name.strip("[]"), host.port or SENTINEL_PORT) for host in url.hosts],
        sentinel_kwargs={**options, "password": config.redis_sentinel_password.get_secret_value() or None},
    )
    user = unquote(url.user.rstrip("@")) or None
    client: Redis = sentinels.master_for(master.name, db=master.database, username=user, password=password, **options)
    return client


async def close_cache(client: Redis) -> None:
    """Close the connections to Redis, and to its sentinels."""
    await client.aclose()
    if isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()


def _verified(config: ServiceConfig) -> dict[str, Any]:
    verified: dict[str, Any] = {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": TLSVersion.TLSv1_2,
    }
    return verified if config.trust is None else {**verified, "ssl_ca_certs": str(config.trust)}


async def ignore_cache_failure(call: Callable[[], Awaitable[T]]) -> T | None:
    """The result of a call to the cache, or None while Redis is unavailable."""
    try:
        return await call()
    except (RedisError, OSError, TimeoutError) as error:
        logger.warning(
            "Redis is unavailable, continuing without it", extra={"error": f"{type(error).__name__}: {error}"[:300]}
        )
        return None
