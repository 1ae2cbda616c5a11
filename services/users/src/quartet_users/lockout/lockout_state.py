"""The state of the lockout: in Redis for all processes, in the memory of this process while Redis is unavailable."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from cachetools import FIFOCache

from quartet_users.lockout.lockout_domain import Decision, Rules, Seen, State, Step

if TYPE_CHECKING:
    from redis.asyncio import Redis

CAPACITY = 20_000
KNOWN_FOR = 30 * 86_400
"""Seconds for which the addresses of successful logins are stored."""
TRIES = 30
"""Attempts to write a change while other processes change the same state."""

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
"""Compare and set: writes new states if those in Redis are still the ones that were read."""


class StateChangedError(Exception):
    """Other processes changed the state at each of TRIES attempts to write it."""


class Keys(NamedTuple):
    """The keys of the states of an attempt; account and address cannot be read from them."""

    pair: str
    account: str
    address: str
    exempt: str
    known: str


class LocalStore:
    """States in the memory of this process; beyond `capacity` the oldest are dropped."""

    def __init__(self, now: Callable[[], float], capacity: int = CAPACITY) -> None:
        self._now = now
        self._states: FIFOCache[str, State] = FIFOCache(capacity)
        self._known: FIFOCache[str, float] = FIFOCache(capacity)

    def change(self, keys: Keys, rules: Rules, step: Step) -> Decision:
        """Apply `step` and return its decision."""
        decision, seen = step(rules, self.read(keys), self._now())
        self.put(keys, seen)
        return decision

    def read(self, keys: Keys) -> Seen:
        """The state of an attempt's keys."""
        pair, account, address, exempt = (self._states.get(key, State()) for key in keys[:4])
        return Seen((pair, account, address, exempt), self._known.get(keys.known, 0.0) > self._now())

    def put(self, keys: Keys, seen: Seen) -> None:
        """Store `seen`."""
        for key, state in zip(keys[:4], seen.states, strict=True):
            self._states[key] = state
        if seen.known:
            self._known[keys.known] = self._now() + KNOWN_FOR


class RedisStore:
    """States in Redis, whose clock all processes use. `set_clock` is called with its time."""

    def __init__(self, redis: "Callable[[], Redis]", set_clock: Callable[[float], object]) -> None:
        self._redis = redis
        self._set_clock = set_clock
        self._script: Any = None

    async def change(self, keys: Keys, rules: Rules, step: Step, unsynced: Seen | None) -> tuple[Decision, Seen]:
        """Apply `step` to the state in Redis, merged with `unsynced`; returns its decision and the new state.

        Raises StateChangedError, and what Redis raises.
        """
        for _ in range(TRIES):
            sent, seen, now = await self._read(keys)
            decision, after = step(rules, seen if unsynced is None else merged(seen, unsynced), now)
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
        pair, account, address, exempt = map(_decode, sent)
        return sent, Seen((pair, account, address, exempt), found[4] is not None), now

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
    """The newer state of each counter."""
    pair, account, address, exempt = (
        max(both, key=lambda state: state.touched) for both in zip(one.states, other.states, strict=True)
    )
    return Seen((pair, account, address, exempt), one.known or other.known)


def _encode(state: State) -> str:
    return "" if state == State() else ":".join(map(repr, state))


def _decode(text: bytes) -> State:
    if not text:
        return State()
    failures, pending, until, touched = text.decode().split(":")
    return State(int(failures), int(pending), float(until), float(touched))
