"""Parts: what of an event is a fact and what is personal, and the entry that parts are together."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.leaves.leaf_domain import PARTS, Part
from quartet_audit.leaves.part_domain import Facts, Resource, divide, join
from quartet_common.messaging.envelope import Event

if TYPE_CHECKING:
    from services.audit.tests.conftest import MakeEvent

NOW = datetime(2026, 2, 1, tzinfo=UTC)
NOTHING: Mapping[str, bytes | None] = dict.fromkeys(PARTS)


def parts_of(event: Event) -> dict[str, Part]:
    facts = Facts(
        id=event.id,
        sequence=3,
        time=event.time,
        recorded_time=NOW,
        tenant=event.tenantid,
        action=event.action,
        type=event.type,
        actor=event.actorid,
        resource=Resource.of(event.subject),
        outcome=event.outcome,
        trace_id=None,
    )
    return divide(event, facts, repeat(bytes(32)))


def members(parts: Mapping[str, Part]) -> dict[str, Any]:
    return {name: json.loads(part.content) for name, part in parts.items()}


def test_the_facts_have_no_personal_data(make_event: "MakeEvent") -> None:
    event = make_event(
        subject="users/2819",
        actorname="Olga",
        actortype="user",
        sourceip="192.0.2.7",
        useragent="curl/8",
        data={"displayName": "Barbara", "userName": "bjensen"},
    )
    assert members(parts_of(event)) == {
        "facts": {
            "id": str(event.id),
            "sequence": 3,
            "time": "2026-01-31T09:00:00Z",
            "recorded_time": "2026-02-01T00:00:00Z",
            "tenant": "default",
            "action": "users.user.created",
            "type": "quartet.users.user.created.v1",
            "actor": "tester",
            "resource": {"type": "users", "id": "2819"},
            "outcome": "success",
            "trace_id": None,
        },
        "actor": {"actor_name": "Olga", "actor_type": "user"},
        "resource": {"resource_name": "bjensen"},
        "source": {"source_address": "192.0.2.7", "user_agent": "curl/8"},
        "changes": {"data": {"displayName": "Barbara", "userName": "bjensen"}},
    }


def test_parts_that_an_event_has_no_value_for_are_left_out(make_event: "MakeEvent") -> None:
    assert parts_of(make_event(data={"userName": None, "name": 5})).keys() == {"facts", "changes"}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"name": "editors"}, "editors"),
        ({"name": "x", "displayName": "The group"}, "The group"),
        ({"userName": "bjensen", "displayName": "Barbara"}, "bjensen"),
    ],
)
def test_a_resource_is_named_by_its_data(make_event: "MakeEvent", data: dict[str, str], name: str) -> None:
    assert members(parts_of(make_event(data=data)))["resource"] == {"resource_name": name}


def test_members_of_parts_that_are_not_there_are_null(make_event: "MakeEvent") -> None:
    facts = parts_of(make_event())["facts"].content
    entry = json.loads(join({**NOTHING, "facts": facts}, None))
    assert entry == json.loads(facts) | dict.fromkeys(
        ("actor_name", "actor_type", "resource_name", "source_address", "user_agent", "data")
    )


def test_an_entry_has_the_very_bytes_of_its_parts(make_event: "MakeEvent") -> None:
    parts = {**NOTHING, "facts": b'{"id": 1}', "changes": b'{"data":{"b":1.0,  "a":"\\u00e4"}}'}
    assert join(parts, b'[{"part":"actor"}]') == (
        b'{"id": 1,"actor_name":null,"actor_type":null,"resource_name":null,"source_address":null,"user_agent":null,'
        b'"data":{"b":1.0,  "a":"\\u00e4"},"erased":[{"part":"actor"}]}'
    )


@pytest.mark.parametrize(
    ("subject", "resource"),
    [
        ("groups/a/b", Resource("groups", "a/b")),
        ("groups", Resource("groups", "")),
    ],
)
def test_only_the_first_slash_of_a_subject_parts_collection_and_id(subject: str, resource: Resource) -> None:
    assert Resource.of(subject) == resource
