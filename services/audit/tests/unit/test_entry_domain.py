"""The rules: entries and their places."""

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from quartet_audit.entry_domain import Position, Resource, Search, append, trace_id

if TYPE_CHECKING:
    from services.audit.tests.conftest import MakeEvent

NOW = datetime(2026, 2, 1, tzinfo=UTC)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_an_entry_says_who_did_what_to_which_resource_and_when(make_event: "MakeEvent") -> None:
    event = make_event(
        subject="users/2819c223",
        actorid="okta",
        outcome="denied",
        traceparent=TRACEPARENT,
        sourceip="192.0.2.7",
        data={"userName": "bjensen"},
    )
    [entry] = append([event], {"default": 0}, NOW)
    assert entry.id == event.id
    assert (entry.tenant, entry.actor, entry.action, entry.outcome) == (
        "default",
        "okta",
        "users.user.created",
        "denied",
    )
    assert entry.type == "quartet.users.user.created.v1"
    assert entry.resource == Resource("users", "2819c223")
    assert (entry.time, entry.recorded_time) == (event.time, NOW)
    assert entry.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert entry.source_address == "192.0.2.7"
    assert entry.data == {"userName": "bjensen"}


def test_each_tenant_counts_its_own_entries_in_the_order_received(make_event: "MakeEvent") -> None:
    events = [make_event(tenant=tenant) for tenant in ("a", "b", "a", "a", "b")]
    entries = append(events, {"a": 0, "b": 7}, NOW)
    assert [(entry.tenant, entry.sequence) for entry in entries] == [("a", 0), ("b", 7), ("a", 1), ("a", 2), ("b", 8)]


def test_the_time_of_an_entry_is_in_utc(make_event: "MakeEvent") -> None:
    local = datetime(2026, 1, 31, 10, 0, tzinfo=timezone(timedelta(hours=1)))
    [entry] = append([make_event(time=local)], {"default": 0}, NOW)
    assert entry.time.utcoffset() == timedelta(0)
    assert entry.time == local


@pytest.mark.parametrize(
    ("subject", "resource"),
    [
        ("groups/a/b", Resource("groups", "a/b")),
        ("groups", Resource("groups", "")),
    ],
)
def test_only_the_first_slash_of_a_subject_parts_collection_and_id(
    make_event: "MakeEvent", subject: str, resource: Resource
) -> None:
    [entry] = append([make_event(subject=subject)], {"default": 0}, NOW)
    assert entry.resource == resource


@pytest.mark.parametrize("broken", [None, "", "00-xyz", TRACEPARENT.upper(), f"00-{'0' * 32}-00f067aa0ba902b7-01"])
def test_a_broken_traceparent_gives_no_trace_id(broken: str | None) -> None:
    assert trace_id(broken) is None


def test_a_traceparent_of_a_later_version_still_gives_its_trace_id() -> None:
    assert trace_id(f"cc-{TRACEPARENT[3:]}-more") == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_newest_first_goes_on_before_a_position_and_oldest_first_after_it() -> None:
    position = Position(NOW, 3)
    assert Search().beyond(position).before == position
    assert Search(newest_first=False).beyond(position).after == position
