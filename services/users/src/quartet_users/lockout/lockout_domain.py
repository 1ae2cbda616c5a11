"""The rules of the lock-out: how long who has failed waits, decided without I/O from what is known and the time.

Failures are counted three times over: of an account at one address (pair), of an account at all addresses where it was
never logged in before (account), and of an address that tries accounts which it never got into (address). The first
grows to long waits, and hits nobody but who sits at that address. The other two stay short, and do not hold for an
account at an address where it has logged in before: nobody is locked out by what is done elsewhere.

While the account or the address has others wait, an account that has logged in there is still let in with the right
password. A wrong one is answered as the others are, with the same wait, and is counted apart (held), so that nothing
that is visible discloses which accounts have logged in there. For the same reason such an account counts at the
account and the address like any other as soon as these are over their limits and nobody has to wait.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PAIR, ACCOUNT, ADDRESS, HELD = range(4)
"""The places of what is counted."""
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


States = tuple[State, State, State, State]
"""Of the pair, the account, the address, and the pair while others have to wait."""
NOTHING: States = (State(), State(), State(), State())


class Seen(NamedTuple):
    """What is known when an attempt is made. `known`: the account has logged in at this address before."""

    states: States = NOTHING
    known: bool = False

    def changed(self, changes: Mapping[int, State]) -> "Seen":
        """The same with other states in some places."""
        pair, account, address, held = (changes.get(place, state) for place, state in enumerate(self.states))
        return Seen((pair, account, address, held), self.known)


class Decision(NamedTuple):
    """Whether an attempt may begin: only if `wait` is 0 seconds. `places` count it. `hidden` is how many seconds an
    account that has not logged in at the address has to wait: a failure is answered as if this one had to.
    """

    wait: float
    places: tuple[int, ...] = ()
    hidden: float = 0.0


DONE = Decision(0.0)
Step = Callable[[Rules, Seen, float], tuple[Decision, Seen]]
"""One of the functions below, with its places: gives the decision, and what is to be kept."""


def start_attempt(rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """An attempt is to begin; it may if there is nothing to wait for."""
    shared = [(place, rule) for place, rule in ((ACCOUNT, rules.account), (ADDRESS, rules.address)) if rule is not None]
    others = max((_begin(rule, seen.states[place], now)[0] for place, rule in shared), default=0.0)
    pair, _ = _begin(rules.pair, seen.states[PAIR], now)
    shown = max(others, pair)
    is_held = seen.known and others > 0
    is_refused = pair > 0 or _begin(rules.pair, seen.states[HELD], now)[0] > 0 if is_held else shown > 0
    if is_refused:
        return Decision(shown), seen
    counted = [place for place, rule in shared if not seen.known or _is_over(rule, seen.states[place], now)]
    places = (HELD,) if is_held else (PAIR, *counted)
    begun = {place: _begin(_rule(rules, place), seen.states[place], now)[1] for place in places}
    return Decision(0.0, places, others), seen.changed(begun)


def failed(places: Sequence[int], rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """An attempt that had begun, and is counted at `places`, has failed."""
    changes = {}
    for place in places:
        rule = _rule(rules, place)
        state = _aged(rule, seen.states[place], now)
        failures = state.failures + 1
        until = max(state.until, now + rule.wait(failures))
        changes[place] = State(failures, max(0, state.pending - 1), until, now)
    return DONE, seen.changed(changes)


def succeeded(places: Sequence[int], rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """An attempt that had begun was right: the pair begins anew, and is known from now on. What others have failed at
    the account, and this address at others, stays.
    """
    _, ended = released(places, rules, seen, now)
    anew = {}
    for place in (PAIR, HELD):
        state = ended.states[place]
        if state.failures or seen.states[place].pending:
            anew[place] = State(0, state.pending, 0.0, now)  # with the time: later than what another process may know
    return DONE, Seen(ended.changed(anew).states, known=rules.account is not None or rules.address is not None)


def released(places: Sequence[int], rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """An attempt that had begun has ended without a result: it does not count."""
    aged = {place: _aged(_rule(rules, place), seen.states[place], now) for place in places}
    return DONE, seen.changed(
        {place: state._replace(pending=max(0, state.pending - 1)) for place, state in aged.items()}
    )


def _rule(rules: Rules, place: int) -> Rule:
    """The rule of a place that is counted."""
    return {ACCOUNT: rules.account, ADDRESS: rules.address}.get(place) or rules.pair


def _is_over(rule: Rule, state: State, now: float) -> bool:
    """Whether failures have reached the limit from which on there are waits."""
    return _aged(rule, state, now).failures >= rule.free


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
