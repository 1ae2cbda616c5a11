"""The limiter of an app: decides whether a request is within its limits, and makes the RateLimit headers.

A request with a valid token counts for its client, and for its person if there is one; any other counts for its
address. An address with too many wrong tokens may send no unknown tokens for a while, except some that look like ours;
cached tokens cost nothing and reveal nothing. Wrong secrets are counted separately, and block further secrets.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from opentelemetry import metrics

from quartet_common.auth.principal import Principal
from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.config.rate_limit import Limit
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import LimitedError
from quartet_common.limits.redis_sync import RedisSync
from quartet_common.limits.windows import REFUSED, SharedClock, Windows

if TYPE_CHECKING:
    from redis.asyncio import Redis

CLIENT, USER, ADDRESS, FAILURES = "client", "user", "address", "refused"
TOKEN, SECRET = "token", "secret"  # kinds of failed attempts
CHECKS = Limit(100, 1)
"""Tokens that look like ours which each process verifies for a blocked address; one costs some 200 us."""
UNKNOWN_ADDRESS = "unknown"
EXTENSION = "quartet_limits"
"""The key of the limiter in `app.extensions`."""

RateLimitHeaders = tuple[str, str]
"""The values of RateLimit-Policy and RateLimit."""


class Limiter:
    """Decides in memory; `sync` adds up the counts of all processes of the service. Failures of an address count for
    all services together.
    """

    def __init__(self, config: ServiceConfig, redis: "Callable[[], Redis]", clock: SharedClock | None = None) -> None:
        clock = clock or SharedClock()
        self._client = _windows(config.limit_client, clock)
        self._user = _windows(config.limit_user, clock)
        self._address = _windows(config.limit_address, clock)
        self._failures = _windows(config.limit_refused, clock)
        self._checks = Windows(CHECKS, clock.now)
        own = f"limits/{config.service}"
        tables = {
            f"{own}/{CLIENT}": self._client,
            f"{own}/{USER}": self._user,
            f"{own}/{ADDRESS}": self._address,
            f"limits/{FAILURES}": self._failures,
        }
        self.sync = RedisSync(redis, clock, {name: one for name, one in tables.items() if one is not None})
        self._policies = _policies(config)
        self._limited = metrics.get_meter(__name__).create_counter(
            "quartet.limits.refused", description="requests that were answered 429, by limit"
        )
        self.start_counts(CLIENT, USER, ADDRESS, FAILURES)

    def start_counts(self, *limits: str) -> None:
        """Export 0 for these limits: an alert on growth would miss the first count of a new series."""
        for name in limits:
            self._limited.add(0, {"limit": name})

    def identified(self, principal: Principal) -> RateLimitHeaders | None:
        """Count a request of `principal`, whose token is valid. Raises LimitedError. Services are not limited."""
        if SERVICE_SCOPE in principal.scopes:
            return None
        user = client = ""
        if self._user is not None and principal.is_person:
            user = self._take(self._user, USER, (principal.tenant, principal.actor))
        if self._client is not None:
            client = self._take(self._client, CLIENT, (principal.tenant, principal.client_id))
        if not user or not client:
            return _rate_limit_headers(self._policies, CLIENT if client else USER, client or user)
        return f"{self._policies[CLIENT]}, {self._policies[USER]}", f"{client}, {user}"

    def anonymous(self, address: str | None) -> RateLimitHeaders | None:
        """Count a request without a valid token. Raises LimitedError."""
        if self._address is None:
            return None
        return _rate_limit_headers(self._policies, ADDRESS, self._take(self._address, ADDRESS, address_key(address)))

    def failed(self, address: str | None, tried: str = TOKEN) -> None:
        """Count a request with a wrong TOKEN or SECRET."""
        if self._failures is not None:
            self._failures.add(_tried_by(address, tried))

    def may_try(self, address: str | None, tried: str = TOKEN) -> bool:
        """Whether `address` may send an unknown token or secret."""
        failures, requests = self._failures, self._address
        if failures and failures.is_spent(_tried_by(address, tried)):  # without failures it has no length
            return False
        return tried == SECRET or not requests or not requests.is_spent(address_key(address))

    def may_check(self, address: str | None) -> bool:
        """Whether a blocked address may send one more token that looks like ours."""
        return self._checks.take(address_key(address)) != REFUSED

    def too_many_failures(self, address: str | None, tried: str = TOKEN) -> LimitedError:
        """The error of a blocked address: too many failures, or else too many requests."""
        guesses, requests = self._failures, self._address
        if requests is not None and not (guesses and guesses.is_spent(_tried_by(address, tried))):
            return self._spent(requests, ADDRESS, address_key(address))
        wait = 1 if guesses is None else guesses.wait(_tried_by(address, tried))
        return LimitedError(
            FAILURES, wait, "Too many wrong tokens or secrets from this IP address. Wait as long as Retry-After says."
        )

    def count_refusal(self, error: LimitedError) -> None:
        """Count a 429 response, also of other code."""
        self._limited.add(1, {"limit": error.limit})

    def _take(self, windows: Windows, name: str, key: Hashable) -> str:
        """The RateLimit item for the remaining quota of `key`."""
        left = windows.take(key)
        if left == REFUSED:
            raise self._spent(windows, name, key)
        return f'"{name}";r={left};t={windows.until_next()}'

    def _spent(self, windows: Windows, name: str, key: Hashable) -> LimitedError:
        """The error when `key` has no quota left."""
        wait = windows.wait(key)
        error = LimitedError(name, wait)
        error.headers |= {"RateLimit-Policy": self._policies[name], "RateLimit": f'"{name}";r=0;t={wait}'}
        return error


def _tried_by(address: str | None, tried: str) -> Hashable:
    counted = address_key(address)
    return counted if tried == TOKEN else (counted, tried)


def _windows(limit: Limit | None, clock: SharedClock) -> Windows | None:
    return None if limit is None else Windows(limit, clock.now)


def _policies(config: ServiceConfig) -> dict[str, str]:
    limits = {CLIENT: config.limit_client, USER: config.limit_user, ADDRESS: config.limit_address}
    return {name: f'"{name}";q={one.quota};w={one.seconds}' for name, one in limits.items() if one is not None}


def _rate_limit_headers(policies: dict[str, str], name: str, item: str) -> RateLimitHeaders | None:
    return (policies[name], item) if item else None


def address_key(address: str | None) -> str:
    """The key by which an address is counted: the address itself, or the /64 of an IPv6 address, since each subscriber
    has at least one; an IPv4 address in IPv6 is the IPv4 address.
    """
    if not address:
        return UNKNOWN_ADDRESS
    return _network(address) if ":" in address else address


@lru_cache(4096)
def _network(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return UNKNOWN_ADDRESS  # all invalid addresses are one
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
