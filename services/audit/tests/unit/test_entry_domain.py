"""The rules: entries and their places."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from quartet_audit.entries.entry_domain import (
    MAX_ACTION_BYTES,
    SALTS_BYTES,
    LongActionError,
    NewEntry,
    Position,
    Search,
    append,
    trace_id,
)
from quartet_audit.leaves.leaf_domain import encode_leaf
from quartet_common.messaging.envelope import Event

if TYPE_CHECKING:
    from services.audit.tests.conftest import MakeEvent

NOW = datetime(2026, 2, 1, tzinfo=UTC)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def entries(events: Sequence[Event], sizes: Mapping[str, int]) -> list[NewEntry]:
    return append(events, sizes, NOW, os.urandom(SALTS_BYTES * len(events)))


def test_an_entry_says_who_did_what_to_which_resource_and_when(make_event: "MakeEvent") -> None:
    event = make_event(
        subject="users/2819c223",
        actorid="okta",
        outcome="denied",
        traceparent=TRACEPARENT,
        data={"userName": "bjensen"},
    )
    [entry] = entries([event], {"default": 0})
    assert (entry.tenant, entry.actor, entry.action, entry.outcome) == (
        "default",
        "okta",
        "users.user.created",
        "denied",
    )
    assert (entry.id, entry.resource_id) == (event.id, "2819c223")
    assert (entry.time, entry.recorded_time) == (event.time, NOW)


def test_the_leaf_is_that_of_the_parts(make_event: "MakeEvent") -> None:
    event = make_event()
    [entry] = entries([event], {"default": 41})
    assert entry.leaf == encode_leaf(41, event.time, event.id, event.action, entry.parts)


def test_no_two_parts_have_the_same_salt(make_event: "MakeEvent") -> None:
    events = [make_event(actorname="Olga", sourceip="192.0.2.7", data={"name": "x"}) for _ in range(20)]
    salts = [part.salt for entry in entries(events, {"default": 0}) for part in entry.parts.values()]
    assert len(set(salts)) == len(salts) == 100
    assert {len(salt) for salt in salts} == {32}


def test_an_action_that_no_routing_key_can_have_is_refused(make_event: "MakeEvent") -> None:
    [entry] = entries([make_event("x" * MAX_ACTION_BYTES)], {"default": 0})
    assert len(entry.leaf) < 65_535
    with pytest.raises(LongActionError, match="has 256 bytes, at most 255 are allowed"):
        entries([make_event("ä" * 128)], {"default": 0})


def test_each_tenant_counts_its_own_entries_in_the_order_received(make_event: "MakeEvent") -> None:
    events = [make_event(tenant=tenant) for tenant in ("a", "b", "a", "a", "b")]
    found = entries(events, {"a": 0, "b": 7})
    assert [(entry.tenant, entry.sequence) for entry in found] == [("a", 0), ("b", 7), ("a", 1), ("a", 2), ("b", 8)]


def test_the_time_of_an_entry_is_in_utc(make_event: "MakeEvent") -> None:
    local = datetime(2026, 1, 31, 10, 0, tzinfo=timezone(timedelta(hours=1)))
    [entry] = entries([make_event(time=local)], {"default": 0})
    assert entry.time.utcoffset() == timedelta(0)
    assert entry.time == local


@pytest.mark.parametrize("broken", [None, "", "00-xyz", TRACEPARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_a_broken_traceparent_gives_no_trace_id(broken: str | None) -> None:
    assert trace_id(broken) is None


def test_a_traceparent_of_a_later_version_still_gives_its_trace_id() -> None:
    assert trace_id(f"cc-{TRACEPARENT[3:]}-more") == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_newest_first_goes_on_before_a_position_and_oldest_first_after_it() -> None:
    position = Position(NOW, 3)
    assert Search().beyond(position).before == position
    assert Search(newest_first=False).beyond(position).after == position
