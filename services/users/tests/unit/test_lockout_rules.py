"""The rules of the lock-out: waits grow and end, and what is done elsewhere locks nobody out."""

from hypothesis import given
from hypothesis import strategies as st

from quartet_common.limits.limit import Limit
from quartet_users.lockout.lockout import ACCOUNT, ADDRESS_WAIT, PAIR, login_rules, secret_rules
from quartet_users.lockout.lockout_memory import Keys, LocalStore, merged
from quartet_users.lockout.lockout_rules import BUSY, PENDING, Rules, Seen, State, Step, demand, failed, succeeded

RULES = login_rules(Limit(50, 3600))
LONGEST = 900.0


class World:
    """Logins as they come: at a time, of an account, from an address."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.time = 1_000_000.0
        self.rules = rules
        self.store = LocalStore(lambda: self.time)

    def _do(self, step: Step, account: str, address: str) -> float:
        keys = Keys(f"{account} {address}", account, f"from {address}", f"{account} {address}")
        return self.store.change(keys, self.rules, step)

    def demand(self, account: str, address: str) -> float:
        return self._do(demand, account, address)

    def fail(self, account: str, address: str) -> float:
        """Wait as long as one must, fail, and give the time that was waited."""
        waited = 0.0
        while wait := self.demand(account, address):
            self.time += wait
            waited += wait
        self._do(failed, account, address)
        return waited

    def log_in(self, account: str, address: str) -> float:
        """The wait, or 0 if the login went well."""
        wait = self.demand(account, address)
        if not wait:
            self._do(succeeded, account, address)
        return wait

    def end(self, step: Step, account: str, address: str) -> None:
        self._do(step, account, address)


def test_waits_begin_after_five_failures_and_double_up_to_a_quarter_of_an_hour() -> None:
    world = World()
    waits = [round(world.fail("bjensen", "attacker")) for _ in range(20)]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *[900] * 5]


def test_a_success_begins_anew() -> None:
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
        assert world.demand(account, address) <= LONGEST
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
        if world.demand("bjensen", f"attacker {attacker}") == 0:
            world.end(failed, "bjensen", f"attacker {attacker}")
    assert world.log_in("bjensen", "home") == 0


def test_at_a_new_address_the_victim_waits_seconds_at_most() -> None:
    world = World()
    for number in range(500):
        world.fail("bjensen", f"attacker {number}")
    wait = world.demand("bjensen", "hotel")
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
    assert world.demand("somebody", "elsewhere") == 0


def test_a_colleague_who_has_logged_in_at_the_same_address_is_not_held_up() -> None:
    world = World()
    assert world.log_in("colleague", "office") == 0
    for number in range(80):
        world.fail(f"user {number}", "office")
    assert world.demand("newcomer", "office") > 0
    assert world.log_in("colleague", "office") == 0


def test_where_addresses_are_not_limited_only_accounts_are() -> None:
    world = World(login_rules(None))
    assert sum(world.fail(f"user {number}", "attacker") for number in range(500)) == 0
    assert sum(world.fail("bjensen", "attacker") for _ in range(10)) > 0


def test_many_attempts_at_once_are_no_way_around() -> None:
    world = World()
    begun = sum(world.demand("bjensen", "attacker") == 0 for _ in range(1000))
    assert begun == PAIR.at_once == 32
    assert world.demand("bjensen", "attacker") == BUSY
    for _ in range(begun):
        world.end(failed, "bjensen", "attacker")
    assert world.demand("bjensen", "attacker") == LONGEST
    world.time += LONGEST
    assert world.demand("bjensen", "attacker") == 0
    assert world.demand("bjensen", "attacker") == BUSY, "one at a time"


def test_many_logins_at_once_with_the_right_password_all_get_in() -> None:
    world = World()
    assert [world.demand("bjensen", "home") for _ in range(20)] == [0] * 20
    for _ in range(20):
        world.end(succeeded, "bjensen", "home")
    assert world.log_in("bjensen", "home") == 0


def test_attempts_that_never_end_are_given_up() -> None:
    world = World()
    for _ in range(32):
        assert world.demand("bjensen", "home") == 0
    assert world.demand("bjensen", "home") == BUSY
    world.time += PENDING + 1
    assert world.demand("bjensen", "home") == 0


def test_a_clock_that_is_set_back_makes_no_wait_longer() -> None:
    world = World()
    for _ in range(20):
        world.fail("bjensen", "home")
    world.time -= 1_000_000
    assert world.demand("bjensen", "home") <= LONGEST


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
    assert demand(rules, Seen(), 5.0) == (0.0, Seen())
    assert succeeded(rules, Seen(), 5.0) == (0.0, Seen())


def test_of_what_two_places_know_the_later_counts() -> None:
    early, late = State(7, 0, 100.0, 50.0), State(0, 0, 0.0, 60.0)
    one, other = Seen((early, late, State())), Seen((late, early, State()), known=True)
    assert merged(one, other) == Seen((late, late, State()), known=True)


def test_memory_has_a_bound() -> None:
    world = World()
    world.store = LocalStore(lambda: world.time, capacity=10)
    for number in range(1000):
        world.fail(f"user {number}", f"address {number}")
        world.log_in(f"user {number}", f"address {number}")
    assert len(world.store._states) == len(world.store._known) == 10
