"""Introspection: queries the users service about opaque tokens (RFC 7662), and caches the answers."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import httpx
import msgspec
from cachetools import FIFOCache

from quartet_common.auth.basic_authentication import basic
from quartet_common.auth.opaque_tokens import SCIM_TOKEN, tenant_of
from quartet_common.auth.principal import Principal, actor_type_of
from quartet_common.core.cache_counts import CacheCounts
from quartet_common.core.caller import MAX_ACTOR_NAME, cut
from quartet_common.core.errors import UnavailableError

logger = logging.getLogger(__name__)


REFRESH_INTERVAL = 60
"""Seconds until the answer about a token is refreshed."""
OUTAGE_LIFETIME = 600
"""Seconds that an answer stays valid while the users service is unavailable: the lifetime of an access token."""
OUTAGE_RETRY_INTERVAL = 5
"""Seconds between two attempts to refresh an old answer while the users service is unavailable."""
UNKNOWN_KEPT = 10
"""Seconds that an unknown token is cached as unknown."""
PAUSE = 1.0
"""Seconds between a failed query and the next one."""
TIMEOUT = 2.0
"""Timeout of a query in seconds."""
KEPT_TOKENS = 10_000
"""Cached valid tokens, and as many unknown ones."""
RATE = 20.0
"""Queries per second about unknown tokens of one tenant, on average."""
BURST = 100.0
"""Such queries at once: a tenant has at most as many valid tokens."""
TOTAL_RATE, TOTAL_BURST = 100.0, 500.0
"""The same for all tenants together that have sent a valid token, and for all others, since tenants can be
invented.
"""
KEPT_TENANTS = 10_000
"""Tenants with a remembered allowance, and as many that have sent a valid token."""


class _Answer(msgspec.Struct, frozen=True):
    """The members of an answer that are used (RFC 7662 section 2.2); `tenant` and `client_name` are our own."""

    active: bool
    tenant: str = ""
    sub: str = ""
    client_id: str = ""
    scope: str = ""
    jti: str = ""
    exp: int | None = None
    client_name: str = ""


@dataclass(frozen=True)
class _CachedAnswer:
    """A cached answer: principal, time of the answer, end of the token, and when to refresh it."""

    principal: Principal
    answered_at: float
    ends_at: float
    until: float


class Allowance:
    """A token bucket: `burst` queries at once, and `rate` per second on average."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = burst, now

    def take(self, now: float) -> bool:
        """Use one; False if none is left."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RemoteTokens:
    """Opaque tokens as known to the users service. The cache holds only hashes of them."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        users_url: str,
        client_id: str,
        client_secret: str,
        now: Callable[[], float] = time.time,
        counts: CacheCounts | None = None,
    ) -> None:
        self._counts = counts or CacheCounts("answers about SCIM tokens")
        self._http = http
        self._url = f"{users_url.rstrip('/')}/oauth2/introspect"
        self._auth = basic(client_id, client_secret)
        self._now = now
        self._cached: FIFOCache[bytes, _CachedAnswer] = FIFOCache(KEPT_TOKENS)
        self._unknown: FIFOCache[bytes, float] = FIFOCache(KEPT_TOKENS)
        self._queries: dict[bytes, asyncio.Task[Principal | None]] = {}
        self._away_until = float("-inf")
        self._allowances: FIFOCache[str, Allowance] = FIFOCache(KEPT_TENANTS)
        self._proved: FIFOCache[str, None] = FIFOCache(KEPT_TENANTS)
        self._of_proved, self._of_others = (Allowance(TOTAL_RATE, TOTAL_BURST, now()) for _ in range(2))

    async def find(self, token: str) -> Principal | None:
        """The principal of `token`; None if the users service does not know it, or no longer.

        `expires_at` is the time to query again. Raises UnavailableError (503) if the users service does not answer, or
        the limit of queries is reached.
        """
        tenant = tenant_of(SCIM_TOKEN, token)
        if tenant is None:
            return None
        key = hashlib.sha256(token.encode()).digest()
        cached, now = self._cached.get(key), self._now()
        is_known = cached is not None and now < cached.until
        is_unknown = self._unknown.get(key, now) > now
        self._counts.count(is_hit=is_known or is_unknown)
        if cached is not None and is_known:
            return cached.principal
        if is_unknown:
            return None
        task = self._queries.get(key)
        if task is None:
            if cached is None:
                self._take_allowance(tenant, now)
            task = self._queries[key] = asyncio.get_running_loop().create_task(self._refresh(key, tenant, token))
            task.add_done_callback(lambda done: self._end_query(key, done))
        return await asyncio.shield(task)  # a request that is cancelled does not cancel the query of the others

    def _end_query(self, key: bytes, done: "asyncio.Task[Principal | None]") -> None:
        del self._queries[key]
        if not done.cancelled():
            done.exception()  # else asyncio logs it, if all requests were cancelled

    def _take_allowance(self, tenant: str, now: float) -> None:
        """Take one query about an unknown token from the allowances of its tenant and of all such tenants. Raises
        UnavailableError.
        """
        own = self._allowances.get(tenant) or Allowance(RATE, BURST, now)
        self._allowances[tenant] = own
        of_all = self._of_proved if tenant in self._proved else self._of_others
        if not own.take(now) or not of_all.take(now):
            raise UnavailableError("users")

    async def _refresh(self, key: bytes, tenant: str, token: str) -> Principal | None:
        asked_at = self._now()
        try:
            answer = await self._query(token, asked_at)
        except UnavailableError:
            return self._last_answer(key)
        ends_at = float("inf") if answer.exp is None else float(answer.exp)
        if not answer.active or answer.tenant != tenant or ends_at <= asked_at:
            self._cached.pop(key, None)
            self._unknown[key] = asked_at + UNKNOWN_KEPT
            return None
        until = min(ends_at, asked_at + REFRESH_INTERVAL)
        scopes = frozenset(answer.scope.split())
        found = Principal(
            tenant,
            answer.sub,
            answer.client_id,
            scopes,
            int(until),
            answer.jti,
            issued_at=asked_at,
            actor_name=cut(answer.client_name, MAX_ACTOR_NAME),
            actor_type=actor_type_of(answer.sub, answer.client_id, scopes),
        )
        self._unknown.pop(key, None)
        self._cached[key] = _CachedAnswer(found, asked_at, ends_at, until)
        self._proved[tenant] = None
        return found

    def _last_answer(self, key: bytes) -> Principal:
        """The last answer about the token. Raises UnavailableError if it is too old."""
        cached, now = self._cached.get(key), self._now()
        lasts = float("-inf") if cached is None else min(cached.ends_at, cached.answered_at + OUTAGE_LIFETIME)
        if cached is None or now >= lasts:
            raise UnavailableError("users")
        until = min(lasts, now + OUTAGE_RETRY_INTERVAL)
        found = replace(cached.principal, expires_at=int(until))
        self._cached[key] = replace(cached, principal=found, until=until)
        return found

    async def _query(self, token: str, now: float) -> _Answer:
        if now < self._away_until:
            raise UnavailableError("users")
        try:
            async with asyncio.timeout(TIMEOUT):
                response = await self._http.post(self._url, auth=self._auth, data={"token": token})
            response.raise_for_status()
            return msgspec.json.decode(response.content, type=_Answer)
        except (httpx.HTTPError, TimeoutError, msgspec.MsgspecError) as error:
            self._away_until = self._now() + PAUSE
            logger.warning("token introspection failed", extra={"url": self._url, "error": repr(error)[:300]})
            raise UnavailableError("users") from error
