"""Subscriptions: which events a pattern means, and that a handler gets its batch in order."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription, dispatch
from quartet_testing.messaging import MakeEvent

NO_CONNECTION = cast("Connection", None)
words = st.sampled_from(["users", "user", "created", "v1"])


async def ignore(*_: Any) -> None:
    return None


def matches(pattern: str, event: Event) -> bool:
    return Subscription(pattern, ignore).matches(event)


@pytest.mark.parametrize(
    ("pattern", "type_", "meant"),
    [
        ("#", "users.user.created.v1", True),
        ("users.#", "users.user.created.v1", True),
        ("users.#", "users", True),
        ("users.#", "usersx.user.created.v1", False),
        ("users.user.created.v1", "users.user.created.v1", True),
        ("users.user.created.v1", "users.user.created.v10", False),
        ("users.user.created.v1", "usersxuser.created.v1", False),
        ("users.*.created.v1", "users.user.created.v1", True),
        ("users.*.v1", "users.user.created.v1", False),
        ("*.*.*.*", "users.user.created.v1", True),
        ("*.*.*", "users.user.created.v1", False),
        ("#.v1", "users.user.created.v1", True),
        ("#.v1", "v1", True),
        ("users.#.v1", "users.v1", True),
        ("users.#.v1", "users.user.created.v1", True),
        ("users.#.v1", "users.user.created.v2", False),
        ("groups.membership.*", "groups.membership.added.v1", False),
        ("groups.membership.#", "groups.membership.added.v1", True),
    ],
)
def test_a_pattern_means_what_it_means_to_rabbitmq(event: MakeEvent, pattern: str, type_: str, meant: bool) -> None:
    assert matches(pattern, event("default", type_)) is meant


def by_the_book(pattern: Sequence[str], key: Sequence[str]) -> bool:
    """AMQP's rule, word by word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(by_the_book(pattern[1:], key[start:]) for start in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and by_the_book(pattern[1:], key[1:])


@given(st.lists(words | st.sampled_from(["*", "#"]), min_size=1, max_size=5), st.lists(words, min_size=1, max_size=5))
def test_any_pattern_follows_the_rule_of_amqp(pattern: list[str], key: list[str]) -> None:
    found = Event(
        id=UUID(int=0),
        source="/users",
        type=f"quartet.{'.'.join(key)}",
        subject="users/1",
        time=datetime(2026, 1, 31, tzinfo=UTC),
        tenantid="default",
        actorid="tester",
        sequence=1,
        data={},
    )
    assert matches(".".join(pattern), found) is by_the_book(pattern, key)


class Recorder:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []

    async def __call__(self, _: Connection, events: Sequence[Event]) -> None:
        self.batches.append(list(events))


async def test_each_handler_gets_its_events_as_one_batch_in_their_order(event: MakeEvent) -> None:
    every, users, groups = Recorder(), Recorder(), Recorder()
    events = [event("default", f"{kind}.x.v1", sequence=n) for n, kind in enumerate(["users", "groups", "users"])]
    subscriptions = [Subscription("#", every), Subscription("users.#", users), Subscription("groups.#", groups)]
    await dispatch(NO_CONNECTION, subscriptions, events)
    assert [item.sequence for item in every.batches[0]] == [0, 1, 2]
    assert [item.sequence for item in users.batches[0]] == [0, 2]
    assert [item.sequence for item in groups.batches[0]] == [1]


async def test_a_handler_is_not_called_for_nothing(event: MakeEvent) -> None:
    groups = Recorder()
    await dispatch(NO_CONNECTION, [Subscription("groups.#", groups)], [event("default", "users.x.v1")])
    assert groups.batches == []
