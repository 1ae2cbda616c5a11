"""The container: what a service's app and worker have while they run, opened in order and closed in reverse."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Generic, TypeVar

import httpx
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from quartet_common.auth.keys import RemoteKeys
from quartet_common.auth.tokens import KeyFinder, TokenVerifier
from quartet_common.config import ServiceConfig
from quartet_common.database import Database, open_database
from quartet_common.http import ServiceClient, ServiceToken, open_http
from quartet_common.ids import Clock, utc_now
from quartet_common.messaging.broker import Broker
from quartet_common.retry import connect_with_retry
from quartet_common.telemetry import instrument_http

logger = logging.getLogger(__name__)

C_co = TypeVar("C_co", bound=ServiceConfig, covariant=True)
T = TypeVar("T")

REDIS_TIMEOUT = 0.25
"""Seconds that a cache may take to answer before the work goes on without it."""


class AppContainer(Generic[C_co]):
    """Database, Redis, broker, HTTP client, clock and config of one process.

    Everything but `config` and `clock` is there between `open()` and `close()` only; reading it at another time raises
    RuntimeError.
    """

    def __init__(self, config: C_co, *, clock: Clock = utc_now) -> None:
        self.config = config
        self.clock = clock
        self.broker = Broker(config)
        self.key_finder: KeyFinder | None = None
        self._stack: AsyncExitStack | None = None
        self._database: Database | None = None
        self._redis: Redis | None = None
        self._http: httpx.AsyncClient | None = None
        self._verifier: TokenVerifier | None = None
        self._token: ServiceToken | None = None

    @property
    def database(self) -> Database:
        """The pool of the service's schema."""
        return _opened(self._database, "database")

    @property
    def redis(self) -> Redis:
        """The cache; every use must go on without it when it raises RedisError."""
        return _opened(self._redis, "redis")

    @property
    def http(self) -> httpx.AsyncClient:
        """The HTTP client."""
        return _opened(self._http, "http")

    @property
    def verifier(self) -> TokenVerifier:
        """Verifies access tokens."""
        return _opened(self._verifier, "verifier")

    async def open(self) -> None:
        """Open everything; if one part cannot be opened, close what is open and raise its error."""
        async with AsyncExitStack() as stack:
            self._database = await connect_with_retry(lambda: open_database(self.config), "postgresql")
            stack.push_async_callback(self._database.close)
            self._observe_pool(self._database)
            self._redis = await self._open_redis()
            stack.push_async_callback(self._redis.aclose)
            self._http = open_http()
            instrument_http(self._http)
            stack.push_async_callback(self._http.aclose)
            self._token = ServiceToken(
                self._http,
                self.config.users_url,
                self.config.client_id,
                self.config.client_secret.get_secret_value(),
            )
            self._verifier = TokenVerifier(self.config.issuer, self.key_finder or self._remote_keys(self._http).find)
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Close everything in reverse order; does nothing when nothing is open."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()
        self._database = self._redis = self._http = self._verifier = self._token = None

    def service_client(self, name: str, base_url: str) -> ServiceClient:
        """A client of the service `name` at `base_url`; it can be made before `open()`."""
        return ServiceClient(name, base_url, lambda: self.http, self._service_token)

    async def _service_token(self) -> str:
        return await _opened(self._token, "token").get()

    def _remote_keys(self, http: httpx.AsyncClient) -> RemoteKeys:
        return RemoteKeys(http, f"{self.config.users_url.rstrip('/')}/.well-known/jwks.json")

    async def _open_redis(self) -> Redis:
        client = Redis.from_url(
            self.config.redis_url,
            password=self.config.redis_password.get_secret_value(),
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REDIS_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        await ignore_redis_failure(client.ping)
        return client

    def _observe_pool(self, database: Database) -> None:
        def observe(_: CallbackOptions) -> list[Observation]:
            pool = database.pool
            idle = pool.get_idle_size()
            return [Observation(idle, {"state": "idle"}), Observation(pool.get_size() - idle, {"state": "used"})]

        metrics.get_meter(__name__).create_observable_gauge(
            "quartet.database.connections", [observe], description="connections of the pool by state"
        )


async def ignore_redis_failure(call: Callable[[], Awaitable[T]]) -> T | None:
    """The result of a Redis call, or None when Redis is away: nothing may depend on a cache."""
    try:
        return await call()
    except (RedisError, OSError, TimeoutError) as error:
        logger.warning(
            "redis does not answer; going on without it", extra={"error": f"{type(error).__name__}: {error}"}
        )
        return None


def _opened(value: T | None, name: str) -> T:
    if value is None:
        raise RuntimeError(f"the container is not open: {name}")
    return value
