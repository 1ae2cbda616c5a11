"""The lock-out: whoever tries passwords or secrets out waits longer and longer, and locks nobody else out by it."""

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

from quartet_common.config.rate_limit import Limit
from quartet_common.core.errors import LimitedError
from quartet_common.limits.limiter import address_key
from quartet_common.limits.windows import SharedClock
from quartet_common.runtime.container import AppContainer
from quartet_users.config import UsersConfig, decode_master_key
from quartet_users.lockout import lockout_domain
from quartet_users.lockout.lockout_domain import Decision, Rule, Rules, Step
from quartet_users.lockout.lockout_state import CAPACITY, Keys, LocalStore, RedisStore, StateChangedError

logger = logging.getLogger(__name__)

LOGIN, SECRET = "login", "secret"  # nosec B105  # the names of limits
HOUR = 3600.0
PAUSE = 1.0
"""Seconds for which a Redis that did not answer is left alone."""
PAIR = Rule(free=5, first=1.0, longest=900.0, memory=HOUR)
ACCOUNT = Rule(free=20, first=1.0, longest=10.0, memory=HOUR)
ADDRESS_WAIT = 60.0
FIRST_DELAY, LONGEST_DELAY = 0.03, 1.0
"""Seconds after which a refusal is answered: before any attempt was found wrong, and at most."""


@dataclass(frozen=True)
class Attempt:
    """An attempt that was let go on: where it counts, when it began, and the seconds that others would have to wait."""

    keys: Keys
    places: tuple[int, ...]
    hidden: float
    began: float


def login_rules(limit: Limit | None) -> Rules:
    """Of people; `limit` is how often an address may fail at accounts that it never got into."""
    if limit is None:
        return Rules(PAIR, ACCOUNT)
    address = Rule(limit.quota, 1.0, ADDRESS_WAIT, memory=limit.seconds, at_once=max(32, limit.quota))
    return Rules(PAIR, ACCOUNT, address)


def secret_rules(limit: Limit | None) -> Rules:
    """Of API clients, whose secrets nobody can guess; `limit` is how often a client may fail at one address."""
    if limit is None:
        return Rules(Rule(2**31, 1.0, 1.0, memory=1.0, at_once=None))
    return Rules(Rule(limit.quota, 1.0, 60.0, memory=max(60.0, limit.seconds), at_once=None))


class Lockout:
    """Holds attempts of one `kind` to `rules`, over all processes through Redis. While Redis is away each process goes
    by what it has seen itself, and reports it to Redis when it is back.
    """

    def __init__(self, container: AppContainer[UsersConfig], kind: str, rules: Rules) -> None:
        self._kind = kind
        self._rules = rules
        master = decode_master_key(container.config.master_key.get_secret_value())
        self._secret = hmac.digest(master, b"quartet/lockout", sha256)
        clock = SharedClock()
        self._local = LocalStore(clock.now)
        self._shared = RedisStore(lambda: container.redis, clock.correct)
        self._owed: FIFOCache[Keys, None] = FIFOCache(CAPACITY)
        self._away_until = 0.0
        self._seconds = FIRST_DELAY
        """How long the last attempt took that was found to be wrong."""
        self._turn = asyncio.Lock()
        """One at a time asks Redis: then only other processes can be faster, and one alone waits if it is away."""

    async def start_attempt(self, tenant: str, user_name: str, address: str | None) -> Attempt:
        """Let an attempt go on, which then must end in `failed`, `succeeded` or `released`.

        Raises LimitedError (429). Whether there is such an account is neither looked up nor disclosed. A refusal takes
        as long as a wrong password did last, where an account that has logged in at the address would have been let
        go on.
        """
        keys = self._keys(tenant, user_name, address_key(address))
        decision = await self._change(lockout_domain.start_attempt, keys)
        if decision.wait > 0:
            if self._rules.account is not None or self._rules.address is not None:
                await asyncio.sleep(self._seconds)
            raise self._refusal(decision.wait)
        return Attempt(keys, decision.places, decision.hidden, time.monotonic())

    async def failed(self, attempt: Attempt) -> None:
        """The attempt was wrong.

        Raises LimitedError (429) where an account that has not logged in at the address would have had to wait.
        """
        await self._change(partial(lockout_domain.failed, attempt.places), attempt.keys)
        self._seconds = min(LONGEST_DELAY, time.monotonic() - attempt.began)
        if attempt.hidden > 0:
            raise self._refusal(attempt.hidden)

    async def succeeded(self, attempt: Attempt) -> None:
        """The attempt was right."""
        await self._change(partial(lockout_domain.succeeded, attempt.places), attempt.keys)

    async def released(self, attempt: Attempt) -> None:
        """It is not known whether the attempt was right: it could not be looked at, and does not count."""
        await self._change(partial(lockout_domain.released, attempt.places), attempt.keys)

    def _refusal(self, wait: float) -> LimitedError:
        return LimitedError(
            self._kind,
            max(1, math.ceil(wait)),
            "Too many failed attempts. Wait as long as Retry-After says, then try again.",
        )

    async def _change(self, step: Step, keys: Keys) -> Decision:
        async with self._turn:
            decision = await self._change_shared(step, keys) if time.monotonic() >= self._away_until else None
            if decision is not None:
                return decision
            self._owed[keys] = None
            return self._local.change(keys, self._rules, step)

    async def _change_shared(self, step: Step, keys: Keys) -> Decision | None:
        """The decision; None when Redis is away."""
        owed = self._local.read(keys) if keys in self._owed else None
        try:
            decision, seen = await self._shared.change(keys, self._rules, step, owed)
        except (RedisError, OSError, TimeoutError, StateChangedError) as error:
            self._away_until = time.monotonic() + PAUSE
            logger.warning(
                "login attempts are counted by this process alone: Redis is unavailable",
                extra={"error": repr(error)[:300]},
            )
            return None
        self._owed.pop(keys, None)
        self._local.put(keys, seen)
        return decision

    def _keys(self, tenant: str, user_name: str, address: str) -> Keys:
        account = (tenant, user_name)
        return Keys(
            self._key("pair", *account, address),
            self._key("account", *account),
            self._key("address", address),
            self._key("held", *account, address),
            self._key("known", *account, address),
        )

    def _key(self, *parts: str) -> str:
        """A name that says nothing of who is meant to whoever has no master key."""
        text = "\0".join(f"{len(part)}:{part}" for part in (self._kind, *parts))
        digest = hmac.new(self._secret, text.encode(errors="surrogatepass"), sha256).hexdigest()
        return f"lockout/{parts[0]}/{digest[:32]}"
