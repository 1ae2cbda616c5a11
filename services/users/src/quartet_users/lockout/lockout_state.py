"""Where the lock-out keeps what it knows: in Redis for all processes, or in this one's memory while Redis is away."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from cachetools import FIFOCache

from quartet_users.lockout.lockout_domain import Decision, Rules, Seen, State, Step

if TYPE_CHECKING:
    from redis.asyncio import Redis

CAPACITY = 20_000
KNOWN_FOR = 30 * 86_400
"""Seconds for which it is remembered where an account has logged in."""
TRIES = 30
"""How often a change is tried again that another process was faster with."""

EXCHANGE = """
for i = 1, 4 do
  if (redis.call('GET', KEYS[i]) or '') ~= ARGV[i] then return 0 end
end
for i = 1, 4 do
  if ARGV[4 + i] == '' then redis.call('DEL', KEYS[i])
  else redis.call('SET', KEYS[i], ARGV[4 + i], 'EX', ARGV[8 + i]) end
end
if ARGV[13] ~= '0' then redis.call('SET', KEYS[5], '1', 'EX', ARGV[13]) end
return 1
"""
"""Puts new states in the place of the ones that were read, if they are still the same."""


class StateChangedError(Exception):
    """Others changed the same again and again."""


class Keys(NamedTuple):
    """Under which names the states of an attempt stand; nothing can be read from them."""

    pair: str
    account: str
    address: str
    held: str
    known: str


class LocalStore:
    """States in the memory of this process; those changed longest ago are dropped first."""

    def __init__(self, now: Callable[[], float], capacity: int = CAPACITY) -> None:
        self._now = now
        self._states: FIFOCache[str, State] = FIFOCache(capacity)
        self._known: FIFOCache[str, float] = FIFOCache(capacity)

    def change(self, keys: Keys, rules: Rules, step: Step) -> Decision:
        """Do `step`, and give its decision."""
        decision, seen = step(rules, self.read(keys), self._now())
        self.put(keys, seen)
        return decision

    def read(self, keys: Keys) -> Seen:
        """What is known."""
        pair, account, address, held = (self._states.get(key, State()) for key in keys[:4])
        return Seen((pair, account, address, held), self._known.get(keys.known, 0.0) > self._now())

    def put(self, keys: Keys, seen: Seen) -> None:
        """Keep `seen`."""
        for key, state in zip(keys[:4], seen.states, strict=True):
            self._states[key] = state
        if seen.known:
            self._known[keys.known] = self._now() + KNOWN_FOR


class RedisStore:
    """States in Redis, by whose clock all processes go. `set_clock` is called with its time."""

    def __init__(self, redis: "Callable[[], Redis]", set_clock: Callable[[float], object]) -> None:
        self._redis = redis
        self._set_clock = set_clock
        self._script: Any = None

    async def change(self, keys: Keys, rules: Rules, step: Step, owed: Seen | None) -> tuple[Decision, Seen]:
        """Do `step` on what is known, and on what is `owed` to it; gives its decision, and what is known then.

        Raises ContendedError, and what Redis raises.
        """
        for _ in range(TRIES):
            sent, seen, now = await self._read(keys)
            decision, after = step(rules, seen if owed is None else merged(seen, owed), now)
            if after == seen or await self._exchange(keys, rules, sent, after, news=after.known and not seen.known):
                return decision, after
        raise StateChangedError

    async def _read(self, keys: Keys) -> tuple[list[bytes], Seen, float]:
        async with self._redis().pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.mget(keys)
            (seconds, microseconds), found = await pipeline.execute()
        now = seconds + microseconds / 1e6
        self._set_clock(now)
        sent = [one or b"" for one in found[:4]]
        pair, account, address, held = map(_decode, sent)
        return sent, Seen((pair, account, address, held), found[4] is not None), now

    async def _exchange(self, keys: Keys, rules: Rules, old: list[bytes], seen: Seen, *, news: bool) -> bool:
        if self._script is None:
            self._script = self._redis().register_script(EXCHANGE)
        kept = [
            math.ceil(rule.memory) if rule is not None else 1
            for rule in (rules.pair, rules.account, rules.address, rules.pair)
        ]
        arguments = [*old, *map(_encode, seen.states), *kept, KNOWN_FOR if news else 0]
        return bool(await self._script(keys=list(keys), args=arguments))


def merged(one: Seen, other: Seen) -> Seen:
    """Of each state the one that was touched last."""
    pair, account, address, held = (
        max(both, key=lambda state: state.touched) for both in zip(one.states, other.states, strict=True)
    )
    return Seen((pair, account, address, held), one.known or other.known)


def _encode(state: State) -> str:
    return "" if state == State() else ":".join(map(repr, state))


def _decode(text: bytes) -> State:
    if not text:
        return State()
    failures, pending, until, touched = text.decode().split(":")
    return State(int(failures), int(pending), float(until), float(touched))
