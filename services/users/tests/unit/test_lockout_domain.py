"""The rules of the lockout: waits grow and end, and what is done elsewhere locks nobody out."""

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quartet_common.config.rate_limit import Limit
from quartet_users.lockout.lockout import ACCOUNT, ADDRESS_WAIT, PAIR, login_rules, secret_rules
from quartet_users.lockout.lockout_domain import (
    BUSY,
    PENDING,
    Decision,
    Rules,
    Seen,
    State,
    Step,
    failed,
    released,
    start_attempt,
    succeeded,
)
from quartet_users.lockout.lockout_state import Keys, LocalStore, merged

RULES = login_rules(Limit(50, 3600))
LONGEST = 900.0


class World:
    """Logins as they come: at a time, of an account, from an address."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.time = 1_000_000.0
        self.rules = rules
        self.store = LocalStore(lambda: self.time)
        self.begun: dict[tuple[str, str], list[Decision]] = {}

    def _do(self, step: Step, account: str, address: str) -> Decision:
        pair = f"{account} {address}"
        keys = Keys(pair, account, f"from {address}", f"held {pair}", pair)
        return self.store.change(keys, self.rules, step)

    def start_attempt(self, account: str, address: str) -> float:
        """The wait; an attempt that may begin is kept for `end`."""
        decision = self._do(start_attempt, account, address)
        if not decision.wait:
            self.begun.setdefault((account, address), []).append(decision)
        return decision.wait

    def fail(self, account: str, address: str) -> float:
        """Wait as long as one must, fail, and give the time that was waited."""
        waited = 0.0
        while wait := self.start_attempt(account, address):
            self.time += wait
            waited += wait
        self.end(failed, account, address)
        return waited

    def log_in(self, account: str, address: str) -> float:
        """The wait, or 0 if the login went well."""
        wait = self.start_attempt(account, address)
        if not wait:
            self.end(succeeded, account, address)
        return wait

    def guess(self, account: str, address: str) -> float:
        """The wait that is answered to a wrong password; 0 where the answer is that it is wrong."""
        if wait := self.start_attempt(account, address):
            return wait
        wait_if_unknown = self.begun[account, address][0].wait_if_unknown
        self.end(failed, account, address)
        return wait_if_unknown

    def end(self, step: Callable[..., Any], account: str, address: str) -> None:
        """End the attempt that has begun first."""
        counters = self.begun[account, address].pop(0).counters
        self._do(partial(step, counters), account, address)


def test_waits_begin_after_five_failures_and_double_up_to_a_quarter_of_an_hour() -> None:
    world = World()
    waits = [round(world.fail("bjensen", "attacker")) for _ in range(20)]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *[900] * 5]


def test_a_success_resets_the_counters() -> None:
    world = World()
    for _ in range(8):
        world.fail("bjensen", "home")
    world.time += 10
    assert world.log_in("bjensen", "home") == 0
    assert [world.fail("bjensen", "home") for _ in range(5)] == [0] * 5


def test_after_an_hour_without_an_attempt_nothing_is_left() -> None:
    world = World()
    for _ in range(12):
        world.fail("bjensen", "home")
    world.time += 3601
    assert [world.fail("bjensen", "home") for _ in range(5)] == [0] * 5


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.floats(0, 4000)), max_size=80))
def test_nobody_ever_waits_longer_than_the_longest(attempts: list[tuple[str, str, float]]) -> None:
    world = World()
    for account, address, pause in attempts:
        world.time += pause
        assert world.start_attempt(account, address) <= LONGEST
        world.fail(account, address)


@given(st.integers(0, 200), st.integers(0, 200))
def test_waits_only_grow(one: int, more: int) -> None:
    for rule in (PAIR, ACCOUNT, secret_rules(Limit(20, 600)).pair):
        assert rule.wait(one) <= rule.wait(one + more) <= rule.longest


@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 100)), min_size=1, max_size=300),
    st.floats(0, 30 * 86_400 - 3600 * 10),
)
def test_whoever_has_logged_in_at_an_address_gets_in_there_whatever_is_done_elsewhere(
    attempts: list[tuple[int, float]], later: float
) -> None:
    world = World()
    assert world.log_in("bjensen", "home") == 0
    world.time += later
    for attacker, pause in attempts:
        world.time += pause
        if world.start_attempt("bjensen", f"attacker {attacker}") == 0:
            world.end(failed, "bjensen", f"attacker {attacker}")
    assert world.log_in("bjensen", "home") == 0


def test_at_a_new_address_the_victim_waits_seconds_at_most() -> None:
    world = World()
    for number in range(500):
        world.fail("bjensen", f"attacker {number}")
    wait = world.start_attempt("bjensen", "hotel")
    assert 0 < wait <= ACCOUNT.longest
    world.time += wait
    assert world.log_in("bjensen", "hotel") == 0
    for number in range(500):
        world.fail("bjensen", f"attacker {number}")
    assert world.log_in("bjensen", "hotel") == 0


def test_whoever_tries_one_password_with_many_accounts_waits_too() -> None:
    world = World()
    waits = [world.fail(f"user {number}", "attacker") for number in range(80)]
    assert waits[:50] == [0] * 50
    assert all(0 < wait <= ADDRESS_WAIT for wait in waits[50:])
    assert waits[-1] == ADDRESS_WAIT
    assert world.start_attempt("somebody", "elsewhere") == 0


def test_a_colleague_who_has_logged_in_at_the_same_address_is_not_held_up() -> None:
    world = World()
    assert world.log_in("colleague", "office") == 0
    for number in range(80):
        world.fail(f"user {number}", "office")
    assert world.start_attempt("newcomer", "office") > 0
    assert world.log_in("colleague", "office") == 0


def test_where_addresses_are_not_limited_only_accounts_are() -> None:
    world = World(login_rules(None))
    assert sum(world.fail(f"user {number}", "attacker") for number in range(500)) == 0
    assert sum(world.fail("bjensen", "attacker") for _ in range(10)) > 0


def test_many_attempts_at_once_are_no_way_around() -> None:
    world = World()
    begun = sum(world.start_attempt("bjensen", "attacker") == 0 for _ in range(1000))
    assert begun == PAIR.at_once == 32
    assert world.start_attempt("bjensen", "attacker") == BUSY
    for _ in range(begun):
        world.end(failed, "bjensen", "attacker")
    assert world.start_attempt("bjensen", "attacker") == LONGEST
    world.time += LONGEST
    assert world.start_attempt("bjensen", "attacker") == 0
    assert world.start_attempt("bjensen", "attacker") == BUSY, "one at a time"


def test_many_logins_at_once_with_the_right_password_all_get_in() -> None:
    world = World()
    assert [world.start_attempt("bjensen", "home") for _ in range(20)] == [0] * 20
    for _ in range(20):
        world.end(succeeded, "bjensen", "home")
    assert world.log_in("bjensen", "home") == 0


def test_attempts_that_never_end_are_given_up() -> None:
    world = World()
    for _ in range(32):
        assert world.start_attempt("bjensen", "home") == 0
    assert world.start_attempt("bjensen", "home") == BUSY
    world.time += PENDING + 1
    assert world.start_attempt("bjensen", "home") == 0


def test_a_clock_that_is_set_back_makes_no_wait_longer() -> None:
    world = World()
    for _ in range(20):
        world.fail("bjensen", "home")
    world.time -= 1_000_000
    assert world.start_attempt("bjensen", "home") <= LONGEST


def test_secrets_are_held_per_client_and_address_only_and_for_a_minute_at_most() -> None:
    world = World(secret_rules(Limit(20, 600)))
    waits = [world.fail("client", "attacker") for _ in range(40)]
    assert (waits[:20], waits[-1]) == ([0] * 20, 60)
    assert world.log_in("client", "home") == 0
    assert sum(world.fail(f"client {number}", "attacker") for number in range(500)) == 0
    world = World(secret_rules(None))
    assert sum(world.fail("client", "attacker") for _ in range(500)) == 0


def test_a_right_secret_without_failures_changes_nothing() -> None:
    rules = secret_rules(Limit(20, 600))
    decision, seen = start_attempt(rules, Seen(), 5.0)
    assert (decision, seen) == (Decision(0.0, (0,)), Seen())
    assert succeeded(decision.counters, rules, Seen(), 5.0)[1] == Seen()


def test_of_what_two_places_know_the_later_counts() -> None:
    early, late = State(7, 0, 100.0, 50.0), State(0, 0, 0.0, 60.0)
    one, other = Seen((early, late, State(), early)), Seen((late, early, State(), late), known=True)
    assert merged(one, other) == Seen((late, late, State(), late), known=True)


def test_memory_has_a_bound() -> None:
    world = World()
    world.store = LocalStore(lambda: world.time, capacity=10)
    for number in range(1000):
        world.fail(f"user {number}", f"address {number}")
        world.log_in(f"user {number}", f"address {number}")
    assert len(world.store._states) == len(world.store._known) == 10


PROBES = st.lists(st.tuples(st.sampled_from(["known", "other"]), st.floats(0, 200)), min_size=1, max_size=60)


@given(PROBES)
def test_an_address_over_its_limit_cannot_learn_who_has_logged_in_from_it(probes: list[tuple[str, float]]) -> None:
    """The same attempts get the same answers, whether or not the first name has logged in at the address."""
    worlds = World(), World()
    assert worlds[0].log_in("known", "office") == 0
    for world in worlds:
        for number in range(51):
            world.fail(f"user {number}", "office")
    for name, pause in probes:
        for world in worlds:
            world.time += pause
        answers = [round(world.guess(name, "office"), 6) for world in worlds]
        assert answers[0] == answers[1], name


def test_an_account_that_is_guessed_everywhere_cannot_be_used_to_tell_where_it_has_logged_in() -> None:
    world = World()
    assert world.log_in("bjensen", "home") == 0
    for number in range(40):
        world.fail("bjensen", f"attacker {number}")
    assert world.guess("bjensen", "home") == world.guess("bjensen", "hotel") > 0


def test_the_right_password_still_counts_where_its_owner_has_logged_in_before() -> None:
    world = World()
    assert world.log_in("bjensen", "office") == 0
    for number in range(80):
        world.fail(f"user {number}", "office")
    for _ in range(4):
        assert world.guess("bjensen", "office") > 0
    assert world.log_in("bjensen", "office") == 0


def test_known_accounts_are_not_guessed_faster_at_an_address_over_its_limit() -> None:
    world = World()
    assert world.log_in("bjensen", "office") == 0
    tried, start = 0, world.time
    for second in range(600):
        world.fail(f"user {second}", "office")
        world.time += 1
        if world.start_attempt("bjensen", "office") == 0:
            world.end(failed, "bjensen", "office")
            tried += 1
    assert tried <= 2 * (15 + (world.time - start) / LONGEST), "the waits of a pair allow as many, twice"


def test_an_attempt_that_could_not_be_looked_at_is_not_counted_and_not_pending() -> None:
    world = World()
    for _ in range(100):
        assert world.start_attempt("bjensen", "home") == 0
        world.end(released, "bjensen", "home")
    assert [world.fail("bjensen", "home") for _ in range(5)] == [0] * 5
    assert world.start_attempt("bjensen", "home") > 0
