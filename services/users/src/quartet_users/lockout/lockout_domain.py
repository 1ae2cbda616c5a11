"""The rules of the lockout: how long an attempt waits after failed ones; no I/O.

Three counters of failures: of an account at one address (pair), of an account at all addresses from which it has never
logged in (account), and of an address at accounts that have never logged in from there (address). Waits of the pair
grow long, but affect clients at that address only. The other two waits stay short, and do not apply to an account at
an address from which it has logged in before: failures at other addresses lock no user out.

While attempts at the account or from the address have to wait, an account that has logged in from there is exempt: the
right password is accepted. A wrong one gets the same response and the same wait as an account that is not exempt, and
has a counter of its own (exempt), so that responses do not disclose which accounts have logged in from there. For the
same reason failures of such an account count for account and address too, once these have reached their limits and no
wait is running.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PAIR, ACCOUNT, ADDRESS, EXEMPT = range(4)
"""Indexes of the counters in `States`."""
PENDING = 10.0
"""Seconds after which an attempt without an end no longer counts as pending."""
BUSY = 1.0
"""Seconds to wait while as many attempts as allowed are pending."""


@dataclass(frozen=True)
class Rule:
    """After `free` failures the next attempt waits `first` seconds, twice as long after each further failure, at most
    `longest`. The counter expires `memory` seconds after the last attempt. `at_once` attempts may be pending at a time
    before `free` failures, then one; None for any number.
    """

    free: int
    first: float
    longest: float
    memory: float
    at_once: int | None = 32

    def wait(self, failures: int) -> float:
        """Seconds to wait after a number of failures."""
        over = failures - self.free
        return 0.0 if over < 0 else min(self.longest, self.first * 2.0 ** min(over, 64))


@dataclass(frozen=True)
class Rules:
    """The rules of one kind of attempt; None for a counter that is not used."""

    pair: Rule
    account: Rule | None = None
    address: Rule | None = None


class State(NamedTuple):
    """One counter: failures, pending attempts, end of the wait, last change; times are in seconds since the epoch."""

    failures: int = 0
    pending: int = 0
    until: float = 0.0
    touched: float = 0.0


States = tuple[State, State, State, State]
"""The counters of the pair, the account, the address, and of the pair while it is exempt."""
NOTHING: States = (State(), State(), State(), State())


class Seen(NamedTuple):
    """The state before an attempt. `known`: the account has logged in from this address before."""

    states: States = NOTHING
    known: bool = False

    def changed(self, changes: Mapping[int, State]) -> "Seen":
        """The same with other counters, by index."""
        pair, account, address, exempt = (changes.get(index, state) for index, state in enumerate(self.states))
        return Seen((pair, account, address, exempt), self.known)


class Decision(NamedTuple):
    """An attempt may start if `wait` is 0 seconds; `counters` are the indexes of those that count it. `wait_if_unknown`
    is the wait in seconds for an account that has not logged in from the address: the response to a failure has it too.
    """

    wait: float
    counters: tuple[int, ...] = ()
    wait_if_unknown: float = 0.0


DONE = Decision(0.0)
Step = Callable[[Rules, Seen, float], tuple[Decision, Seen]]
"""One of the functions below with its counters bound: returns the decision and the new state."""


def start_attempt(rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """Decide whether an attempt may start, and count it as pending if so."""
    shared = [(index, rule) for index, rule in ((ACCOUNT, rules.account), (ADDRESS, rules.address)) if rule is not None]
    wait_if_unknown = max((_begin(rule, seen.states[index], now)[0] for index, rule in shared), default=0.0)
    pair, _ = _begin(rules.pair, seen.states[PAIR], now)
    wait = max(wait_if_unknown, pair)
    is_exempt = seen.known and wait_if_unknown > 0
    is_refused = pair > 0 or _begin(rules.pair, seen.states[EXEMPT], now)[0] > 0 if is_exempt else wait > 0
    if is_refused:
        return Decision(wait), seen
    counted = [index for index, rule in shared if not seen.known or _is_over(rule, seen.states[index], now)]
    counters = (EXEMPT,) if is_exempt else (PAIR, *counted)
    begun = {index: _begin(_rule(rules, index), seen.states[index], now)[1] for index in counters}
    return Decision(0.0, counters, wait_if_unknown), seen.changed(begun)


def failed(counters: Sequence[int], rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """Count a failure of a pending attempt in `counters`."""
    changes = {}
    for index in counters:
        rule = _rule(rules, index)
        state = _aged(rule, seen.states[index], now)
        failures = state.failures + 1
        until = max(state.until, now + rule.wait(failures))
        changes[index] = State(failures, max(0, state.pending - 1), until, now)
    return DONE, seen.changed(changes)


def succeeded(counters: Sequence[int], rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """End a pending attempt as successful: resets the counters of the pair, which is known from now on. Failures of the
    account at other addresses, and of this address at other accounts, stay.
    """
    _, ended = released(counters, rules, seen, now)
    reset = {}
    for index in (PAIR, EXEMPT):
        state = ended.states[index]
        if state.failures or seen.states[index].pending:
            reset[index] = State(0, state.pending, 0.0, now)  # with the time: newer than the state of other processes
    return DONE, Seen(ended.changed(reset).states, known=rules.account is not None or rules.address is not None)


def released(counters: Sequence[int], rules: Rules, seen: Seen, now: float) -> tuple[Decision, Seen]:
    """End a pending attempt without counting it."""
    aged = {index: _aged(_rule(rules, index), seen.states[index], now) for index in counters}
    return DONE, seen.changed(
        {index: state._replace(pending=max(0, state.pending - 1)) for index, state in aged.items()}
    )


def _rule(rules: Rules, index: int) -> Rule:
    """The rule of a counter."""
    return {ACCOUNT: rules.account, ADDRESS: rules.address}.get(index) or rules.pair


def _is_over(rule: Rule, state: State, now: float) -> bool:
    """Whether the failures have reached the number after which attempts wait."""
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
    """The state without what has expired; a clock that was set back does not make a wait longer than the longest."""
    age = now - state.touched
    if age > rule.memory:
        return State()
    pending = state.pending if -PENDING <= age <= PENDING else 0
    return state._replace(pending=pending, until=min(state.until, now + rule.longest))
