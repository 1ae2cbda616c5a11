"""The lockout: delays and refuses attempts after failed ones, without locking out other users of the same account."""

import asyncio
import hmac
import logging
import math
import time
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from cachetools import FIFOCache
from redis.exceptions import RedisError

from quartet_common.config.master_key import decode_master_key
from quartet_common.config.rate_limit import Limit
from quartet_common.core.errors import LimitedError
from quartet_common.limits.limiter import address_key
from quartet_common.limits.windows import SharedClock
from quartet_common.runtime.container import AppContainer
from quartet_users.config import UsersConfig
from quartet_users.lockout import lockout_domain
from quartet_users.lockout.lockout_domain import Decision, Rule, Rules, Step
from quartet_users.lockout.lockout_state import CAPACITY, Keys, LocalStore, RedisStore, StateChangedError

logger = logging.getLogger(__name__)

LOGIN, SECRET = "login", "secret"  # nosec B105  # the names of limits
HOUR = 3600.0
PAUSE = 1.0
"""Seconds without requests to Redis after it did not answer."""
PAIR = Rule(free=5, first=1.0, longest=900.0, memory=HOUR)
ACCOUNT = Rule(free=20, first=1.0, longest=10.0, memory=HOUR)
ADDRESS_WAIT = 60.0
FIRST_DELAY, LONGEST_DELAY = 0.03, 1.0
"""Seconds before a refusal is sent: until a first attempt has failed, and at most."""


@dataclass(frozen=True)
class Attempt:
    """An attempt in progress: its counters, its start, and the wait if the account is unknown there (`Decision`)."""

    keys: Keys
    counters: tuple[int, ...]
    wait_if_unknown: float
    began: float


def login_rules(limit: Limit | None) -> Rules:
    """The rules for logins; `limit` is for failures of one address at accounts that have never logged in from there."""
    if limit is None:
        return Rules(PAIR, ACCOUNT)
    address = Rule(limit.quota, 1.0, ADDRESS_WAIT, memory=limit.seconds, at_once=max(32, limit.quota))
    return Rules(PAIR, ACCOUNT, address)


def secret_rules(limit: Limit | None) -> Rules:
    """The rules for API clients, whose secrets cannot be guessed; `limit` is for failures of a client at an address."""
    if limit is None:
        return Rules(Rule(2**31, 1.0, 1.0, memory=1.0, at_once=None))
    return Rules(Rule(limit.quota, 1.0, 60.0, memory=max(60.0, limit.seconds), at_once=None))


class Lockout:
    """Applies `rules` to attempts of one `kind` over all processes, with counters in Redis. While Redis is unavailable,
    each process counts in its memory, and merges the counters into Redis afterwards.
    """

    def __init__(self, container: AppContainer[UsersConfig], kind: str, rules: Rules) -> None:
        self._kind = kind
        self._rules = rules
        master = decode_master_key(container.config.master_key.get_secret_value())
        self._secret = hmac.digest(master, b"quartet/lockout", sha256)
        clock = SharedClock()
        self._local = LocalStore(clock.now)
        self._shared = RedisStore(lambda: container.redis, clock.correct)
        self._unsynced: FIFOCache[Keys, None] = FIFOCache(CAPACITY)
        self._unavailable_until = 0.0
        self._delay = FIRST_DELAY
        """The duration of the last failed attempt."""
        self._lock = asyncio.Lock()
        """For requests to Redis: only other processes conflict with them, and one attempt waits if Redis hangs."""

    async def start_attempt(self, tenant: str, user_name: str, address: str | None) -> Attempt:
        """Start an attempt. It must end with `failed`, `succeeded` or `released`.

        Raises LimitedError (429). Does not look up or disclose whether the account exists. A refusal takes as long as
        the last failed attempt: for an account that has logged in from the address, an attempt would have been made.
        """
        keys = self._keys(tenant, user_name, address_key(address))
        decision = await self._change(lockout_domain.start_attempt, keys)
        if decision.wait > 0:
            if self._rules.account is not None or self._rules.address is not None:
                await asyncio.sleep(self._delay)
            raise self._refusal(decision.wait)
        return Attempt(keys, decision.counters, decision.wait_if_unknown, time.monotonic())

    async def failed(self, attempt: Attempt) -> None:
        """Count the attempt as failed.

        Raises LimitedError (429) if an account that has not logged in from the address would have had to wait.
        """
        await self._change(partial(lockout_domain.failed, attempt.counters), attempt.keys)
        self._delay = min(LONGEST_DELAY, time.monotonic() - attempt.began)
        if attempt.wait_if_unknown > 0:
            raise self._refusal(attempt.wait_if_unknown)

    async def succeeded(self, attempt: Attempt) -> None:
        """End the attempt as successful, and reset the counters of the account at the address."""
        await self._change(partial(lockout_domain.succeeded, attempt.counters), attempt.keys)

    async def released(self, attempt: Attempt) -> None:
        """End the attempt without counting it, since it could not be verified."""
        await self._change(partial(lockout_domain.released, attempt.counters), attempt.keys)

    def _refusal(self, wait: float) -> LimitedError:
        return LimitedError(
            self._kind,
            max(1, math.ceil(wait)),
            "Too many failed attempts. Wait as long as Retry-After says, then try again.",
        )

    async def _change(self, step: Step, keys: Keys) -> Decision:
        async with self._lock:
            decision = await self._change_shared(step, keys) if time.monotonic() >= self._unavailable_until else None
            if decision is not None:
                return decision
            self._unsynced[keys] = None
            return self._local.change(keys, self._rules, step)

    async def _change_shared(self, step: Step, keys: Keys) -> Decision | None:
        """The decision; None if Redis is unavailable."""
        unsynced = self._local.read(keys) if keys in self._unsynced else None
        try:
            decision, seen = await self._shared.change(keys, self._rules, step, unsynced)
        except (RedisError, OSError, TimeoutError, StateChangedError) as error:
            self._unavailable_until = time.monotonic() + PAUSE
            logger.warning(
                "login attempts are counted by this process alone: Redis is unavailable",
                extra={"error": repr(error)[:300]},
            )
            return None
        self._unsynced.pop(keys, None)
        self._local.put(keys, seen)
        return decision

    def _keys(self, tenant: str, user_name: str, address: str) -> Keys:
        account = (tenant, user_name)
        return Keys(
            self._key("pair", *account, address),
            self._key("account", *account),
            self._key("address", address),
            self._key("held", *account, address),  # the keys of earlier releases
            self._key("known", *account, address),
        )

    def _key(self, *parts: str) -> str:
        """The key in Redis: a keyed digest, from which account and address cannot be read."""
        text = "\0".join(f"{len(part)}:{part}" for part in (self._kind, *parts))
        digest = hmac.new(self._secret, text.encode(errors="surrogatepass"), sha256).hexdigest()
        return f"lockout/{parts[0]}/{digest[:32]}"
