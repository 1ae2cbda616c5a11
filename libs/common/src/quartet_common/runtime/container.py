"""The container: the resources of an api or a worker, opened in order and closed in reverse."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

import httpx
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from quartet_common.auth.origin_list import OriginList
from quartet_common.auth.revocation_list import RevocationList
from quartet_common.config.certificates import Certificates
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.cache_counts import CacheCounts, observe_caches
from quartet_common.core.clock import Clock
from quartet_common.core.fair_share import FairShare, observe_shares
from quartet_common.core.retry import connect_with_retry
from quartet_common.data.database import Database, open_database
from quartet_common.data.database_clock import DatabaseClock
from quartet_common.messaging.broker import Broker
from quartet_common.runtime.certificate_expiry import observe_certificates
from quartet_common.runtime.service_client import ServiceClient, ServiceToken, open_http
from quartet_common.telemetry.opentelemetry_setup import instrument_http

if TYPE_CHECKING:
    from joserfc.jwk import ECKey
    from redis.asyncio import Redis

    from quartet_common.auth.client_tokens import ClientTokens
    from quartet_common.auth.token_verifier import KeyFinder, OpaqueFinder, TokenVerifier

C_co = TypeVar("C_co", bound=ServiceConfig, covariant=True)
T = TypeVar("T")


SEARCHES, SEARCHES_OF_TENANT = 4, 2
"""Searches without an index that a process runs at a time, in all and for one tenant: each may use a core of PostgreSQL
for `query_timeout` seconds.
"""


class AppContainer(Generic[C_co]):
    """Database, Redis, broker, HTTP client, clock and config of one process.

    `stopping` is set when the process is to end. Other attributes than `stopping`, `config` and `clock` exist only
    between `open()` and `close()`; reading them at another time raises RuntimeError. Redis and the token verifier are
    imported and made at first use, which saves workers 17 MB.
    """

    def __init__(self, config: C_co, *, clock: Clock | None = None) -> None:
        self.config = config
        self.clock: Clock = DatabaseClock() if clock is None else clock
        self.broker = Broker(config)
        self.certificates = Certificates(config)
        self.stopping = asyncio.Event()
        self.is_warm = False
        self.key_finder: KeyFinder | None = None
        self.key_refresh: Callable[[], Awaitable[None]] | None = None
        self.opaque_finder: OpaqueFinder | None = None
        self.revocations = RevocationList(lambda: self.database)
        self.origins = OriginList(lambda: self.database, config.cors_origins)
        self.searches = FairShare(
            "searches without an index", SEARCHES, SEARCHES_OF_TENANT, queue=100, timeout=config.query_timeout
        )
        self.shares = [self.searches]
        """The shares of this process. Code that makes a share adds it here, so that it has metrics."""
        self.caches: list[CacheCounts] = []
        """The caches of this process, in the same way."""
        self._shared: dict[type, object] = {}
        self._stack: AsyncExitStack | None = None
        self._database: Database | None = None
        self._redis: Redis | None = None
        self._http: httpx.AsyncClient | None = None
        self._verifier: TokenVerifier | None = None
        self._client_tokens: ClientTokens | None = None
        self._token: ServiceToken | None = None

    @property
    def database(self) -> Database:
        """The pool of the service's schema."""
        return _opened(self._database, "database")

    @property
    def redis(self) -> "Redis":
        """The cache; use it with `cache.ignore_cache_failure`."""
        stack = _opened(self._stack, "redis")
        if self._redis is None:
            from quartet_common.data.cache import close_cache, open_cache

            self._redis = open_cache(self.config)
            stack.push_async_callback(close_cache, self._redis)
        return self._redis

    @property
    def http(self) -> httpx.AsyncClient:
        """The HTTP client."""
        return _opened(self._http, "http")

    @property
    def verifier(self) -> "TokenVerifier":
        """The verifier of access tokens."""
        if self._verifier is None:
            from quartet_common.auth.introspection import RemoteTokens
            from quartet_common.auth.jwks_client import RemoteKeys
            from quartet_common.auth.token_verifier import AUDIENCE, TokenVerifier

            config = self.config
            secret = config.client_secret.get_secret_value()
            remote = RemoteTokens(
                self.http, config.users_url, config.client_id, secret, counts=self._counted("answers about SCIM tokens")
            )
            if self.key_finder is None:
                jwks_url = f"{config.users_url.rstrip('/')}/.well-known/jwks.json"
                keys = RemoteKeys(self.http, jwks_url, withdrawn=self.forget_tokens)
                self.key_finder, self.key_refresh = keys.find, keys.refresh
            self._verifier = TokenVerifier(
                config.issuer,
                self._find_key,
                audiences=frozenset({AUDIENCE, f"{config.issuer}/{config.service}"}),
                revoked=self.revocations.reason,
                find_opaque=self.opaque_finder or remote.find,
                counts=self._counted("verified tokens"),
            )
        return self._verifier

    @property
    def client_tokens(self) -> "ClientTokens":
        """The access tokens of API clients that use HTTP Basic."""
        if self._client_tokens is None:
            from quartet_common.auth.client_tokens import ClientTokens

            counts = self._counted("tokens of clients")
            self._client_tokens = ClientTokens(lambda: self.http, self.config.users_url, counts=counts)
        return self._client_tokens

    def _counted(self, name: str) -> CacheCounts:
        """Counts of the cache `name`, which are exported."""
        counts = CacheCounts(name)
        self.caches.append(counts)
        return counts

    async def _find_key(self, key_id: str) -> "ECKey | None":
        return await _opened(self.key_finder, "keys")(key_id)

    def forget_tokens(self) -> None:
        """Verify all tokens again: a key that has signed some of them was withdrawn."""
        if self._verifier is not None:
            self._verifier.forget()

    async def refresh_keys(self) -> None:
        """Fetch new keys before they are needed, and notice withdrawn ones."""
        if self.key_refresh is not None:
            await self.key_refresh()

    async def warm_up(self) -> None:
        """Import, build and connect what the first request would otherwise wait for (880 ms).

        Never raises: a request that needs an unavailable server tries again.
        """
        from quartet_common.auth import jwt_parsing
        from quartet_common.data.cache import ignore_cache_failure

        jwt_parsing.warm_up()
        fetches_keys = self.key_finder is None  # else the service has the keys itself, and checks them when it starts
        _ = self.verifier
        if fetches_keys:
            await self.refresh_keys()
        await ignore_cache_failure(self.redis.ping)
        self.is_warm = True

    def shared(self, kind: type[T], make: Callable[[], T] | None = None) -> T:
        """The one object of a class that the parts of a process share; `make`, or the class, makes it at first use."""
        if kind not in self._shared:
            self._shared[kind] = kind() if make is None else make()
        found = self._shared[kind]
        if not isinstance(found, kind):
            raise AssertionError("each object is stored under its own class")
        return found

    async def set_clock(self) -> None:
        """Set the clock to PostgreSQL's time, unless the container was given another clock. Raises UnavailableError."""
        if isinstance(self.clock, DatabaseClock):
            await self.clock.ask(self.database)

    async def open(self) -> None:
        """Open everything; if one part cannot be opened, close the others and raise its error."""
        async with AsyncExitStack() as stack:
            stack.callback(self._forget)
            self._database = await connect_with_retry(lambda: open_database(self.config), "postgresql")
            stack.push_async_callback(self._database.close)
            self._observe_pool(self._database)
            observe_certificates(self.config)
            self.shares.append(self._database.connections)
            observe_shares(self.shares)
            observe_caches(self.caches)
            self._http = open_http(self.certificates.client)
            stack.push_async_callback(self._http.aclose)
            instrument_http(self._http)
            self._token = ServiceToken(
                self._http,
                self.config.users_url,
                self.config.client_id,
                self.config.client_secret.get_secret_value(),
            )
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Close everything in reverse order; no effect if it is not open."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    def _forget(self) -> None:
        self._database = self._redis = self._http = self._verifier = self._token = None

    def service_client(self, name: str, base_url: str) -> ServiceClient:
        """A client of the service `name` at `base_url`; it can be made before `open()`."""
        return ServiceClient(name, base_url, lambda: self.http, self._service_token, self._refused_token)

    async def _service_token(self) -> str:
        return await _opened(self._token, "token").get()

    def _refused_token(self) -> None:
        _opened(self._token, "token").forget()

    def _observe_pool(self, database: Database) -> None:
        def observe(_: CallbackOptions) -> list[Observation]:
            pool = database.pool
            idle = pool.get_idle_size()
            return [Observation(idle, {"state": "idle"}), Observation(pool.get_size() - idle, {"state": "used"})]

        metrics.get_meter("quartet_common.container").create_observable_gauge(
            "quartet.database.connections", [observe], description="connections of the pool by state"
        )


def _opened(value: T | None, name: str) -> T:
    if value is None:
        raise RuntimeError(f"the container is not open: {name}")
    return value
