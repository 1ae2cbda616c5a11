"""The rules of the lock-out: how long who has failed waits, decided without I/O from what is known and the time.

Failures are counted three times over: of an account at one address (pair), of an account at all addresses where it was
never logged in before (account), and of an address that tries accounts which it never got into (address). The first
grows to long waits, and hits nobody but who sits at that address. The other two stay short, and do not hold for an
account at an address where it has logged in before: nobody is locked out by what is done elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

PAIR, ACCOUNT, ADDRESS = range(3)
"""The places of the three."""
PENDING = 10.0
"""Seconds after which an attempt that was begun and never ended is given up."""
BUSY = 1.0
"""Seconds to wait where attempts run already whose end decides."""


@dataclass(frozen=True)
class Rule:
    """After `free` failures the next attempt waits `first` seconds, and twice as long after each further one, at most
    `longest`. `memory` seconds after the last attempt all is forgotten. Before that many failures, `at_once` attempts
    may run beside each other, then one; None where it does not matter.
    """

    free: int
    first: float
    longest: float
    memory: float
    at_once: int | None = 32

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        over = failures - self.free
        return 0.0 if over < 0 else min(self.longest, self.first * 2.0 ** min(over, 64))


@dataclass(frozen=True)
class Rules:
    """The rules of one kind of attempt; None where something is not counted."""

    pair: Rule
    account: Rule | None = None
    address: Rule | None = None


class State(NamedTuple):
    """What is kept of a pair, an account or an address. Times are in seconds since the epoch."""

    failures: int = 0
    pending: int = 0
    until: float = 0.0
    touched: float = 0.0


States = tuple[State, State, State]
"""Of the pair, the account and the address."""
NOTHING: States = (State(), State(), State())


class Seen(NamedTuple):
    """What is known when an attempt is made. `known`: the account has logged in at this address before."""

    states: States = NOTHING
    known: bool = False

    def changed(self, changes: Mapping[int, State]) -> "Seen":
        """The same with other states in some places."""
        pair, account, address = (changes.get(place, state) for place, state in enumerate(self.states))
        return Seen((pair, account, address), self.known)


Step = Callable[[Rules, Seen, float], tuple[float, Seen]]
"""One of the functions below: gives the seconds to wait, and what is to be kept."""


def demand(rules: Rules, seen: Seen, now: float) -> tuple[float, Seen]:
    """An attempt is to begin; it may if there is nothing to wait for."""
    begun = {place: _begin(rule, seen.states[place], now) for place, rule in _counted(rules, seen)}
    longest = max(wait for wait, _ in begun.values())
    if longest > 0:
        return longest, seen
    return 0.0, seen.changed({place: state for place, (_, state) in begun.items()})


def failed(rules: Rules, seen: Seen, now: float) -> tuple[float, Seen]:
    """An attempt that had begun has failed."""
    changes = {}
    for place, rule in _counted(rules, seen):
        state = _aged(rule, seen.states[place], now)
        failures = state.failures + 1
        until = max(state.until, now + rule.wait(failures))
        changes[place] = State(failures, max(0, state.pending - 1), until, now)
    return 0.0, seen.changed(changes)


def succeeded(rules: Rules, seen: Seen, now: float) -> tuple[float, Seen]:
    """An attempt that had begun was right: the pair begins anew, and is known from now on. What others have failed at
    the account, and this address at others, stays.
    """
    changes = {}
    for place, rule in _counted(rules, seen):
        state = _aged(rule, seen.states[place], now)
        ended = state._replace(pending=max(0, state.pending - 1))
        if place == PAIR and (state.failures or state.pending):
            ended = State(0, ended.pending, 0.0, now)  # with the time: later than what another process may know
        changes[place] = ended
    return 0.0, Seen(seen.changed(changes).states, known=rules.account is not None or rules.address is not None)


def _counted(rules: Rules, seen: Seen) -> list[tuple[int, Rule]]:
    strangers = [] if seen.known else [(ACCOUNT, rules.account), (ADDRESS, rules.address)]
    return [(PAIR, rules.pair), *((place, rule) for place, rule in strangers if rule is not None)]


def _begin(rule: Rule, state: State, now: float) -> tuple[float, State]:
    state = _aged(rule, state, now)
    if state.until > now:
        return state.until - now, state
    if rule.at_once is None:
        return 0.0, state
    if state.pending >= (rule.at_once if state.failures < rule.free else 1):
        return BUSY, state
    return 0.0, state._replace(pending=state.pending + 1, touched=now)


def _aged(rule: Rule, state: State, now: float) -> State:
    """What of it still holds; no clock that is set makes a wait longer than the longest."""
    age = now - state.touched
    if age > rule.memory:
        return State()
    pending = state.pending if -PENDING <= age <= PENDING else 0
    return state._replace(pending=pending, until=min(state.until, now + rule.longest))
