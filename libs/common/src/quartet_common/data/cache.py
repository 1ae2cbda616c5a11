"""The cache: Redis. Without it everything works, but slower."""

import logging
from collections.abc import Awaitable, Callable
from ssl import TLSVersion
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from quartet_common.config.settings import ServiceConfig

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = 0.25
"""Seconds that the cache may take to answer before work continues without it."""


def open_cache(config: ServiceConfig) -> Redis:
    """A client that connects at first use, with short timeouts."""
    verified: dict[str, Any] = {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": TLSVersion.TLSv1_2,
    }
    trusted = {"ssl_ca_certs": str(config.trust)} if config.trust is not None else {}
    client: Redis = Redis.from_url(
        config.redis_url,
        password=config.redis_password.get_secret_value(),
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        **(verified | trusted if config.redis_url.startswith("rediss:") else {}),
    )
    return client


async def ignore_cache_failure(call: Callable[[], Awaitable[T]]) -> T | None:
    """The result of a call to the cache, or None while Redis is unavailable."""
    try:
        return await call()
    except (RedisError, OSError, TimeoutError) as error:
        logger.warning(
            "Redis is unavailable, continuing without it", extra={"error": f"{type(error).__name__}: {error}"}
        )
        return None
