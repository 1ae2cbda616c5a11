"""Signing keys: what each of them is at which moment."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from quartet_users.tokens.key_domain import CLOCKS, PUBLISHED_FIRST, SWITCHING, KeyTimes, is_due, states

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIFETIME = 600


def key(name: str, seconds: float, published: float = 60) -> KeyTimes:
    """A key that signs from so many seconds after NOW."""
    begin = NOW + timedelta(seconds=seconds)
    return KeyTimes(name, begin - timedelta(seconds=published), begin)


def found(*keys: KeyTimes) -> dict[str, str]:
    return {one.times.id: one.state for one in states(keys, NOW, LIFETIME)}


def test_a_new_key_is_next_until_its_time_has_come() -> None:
    assert found(key("a", -1000), key("b", 1)) == {"a": "current", "b": "next"}
    assert found(key("a", -1000), key("b", 0)) == {"a": "retired", "b": "current"}


def test_the_one_before_verifies_until_its_last_token_has_expired() -> None:
    kept = (timedelta(seconds=LIFETIME) + CLOCKS + SWITCHING).total_seconds()
    assert found(key("a", -5000), key("b", -kept + 1))["a"] == "retired"
    assert found(key("a", -5000), key("b", -kept))["a"] == "over"
    [_, before] = states([key("a", -5000), key("b", -10)], NOW, LIFETIME)
    assert before.verifies_until == NOW + timedelta(seconds=kept - 10)


def test_another_is_due_when_the_one_that_signs_is_old_and_none_is_on_its_way() -> None:
    day = timedelta(days=1)
    old, young, coming = key("old", -86400), key("young", -86399), key("coming", 30)
    assert is_due(states([old], NOW, LIFETIME), NOW, day)
    assert not is_due(states([old, young], NOW, LIFETIME), NOW, day)
    assert not is_due(states([old, coming], NOW, LIFETIME), NOW, day)


def test_a_key_is_published_as_long_as_the_published_keys_may_be_kept() -> None:
    assert timedelta(seconds=60) <= PUBLISHED_FIRST


@given(begins=st.lists(st.integers(-100_000, 100), min_size=1, max_size=8))
def test_there_is_at_most_one_that_signs_and_always_one_once_any_has_begun(begins: list[int]) -> None:
    listed = list(found(*(key(str(place), begin) for place, begin in enumerate(begins))).values())
    assert listed.count("current") == (1 if min(begins) <= 0 else 0)
    order = ["next", "current", "retired", "over"]
    assert [order.index(state) for state in listed] == sorted(order.index(state) for state in listed)
