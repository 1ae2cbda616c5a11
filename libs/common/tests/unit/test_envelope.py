"""The envelope: what goes out comes back, and what is no event of ours is refused."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from quartet_common.core.caller import Caller
from quartet_common.messaging.envelope import Event, MalformedEventError, decode, encode
from quartet_testing.messaging import MakeEvent

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def changed(event: Event, **changes: Any) -> bytes:
    """The event's JSON with other members; Ellipsis removes one."""
    document = {**json.loads(encode(event)), **changes}
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


@given(data=st.dictionaries(texts, values, max_size=3))
def test_an_event_comes_back_as_it_went(data: dict[str, Any]) -> None:
    went = Event(
        id=uuid4(),
        source="/users",
        type="quartet.users.user.created.v1",
        subject="users/1",
        time=datetime(2026, 1, 31, 9, 0, 0, 123456, tzinfo=UTC),
        tenantid="default",
        actorid="tester",
        sequence=3,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        sourceip="192.0.2.1",
        actorname="Barbara Jensen",
        actortype="user",
        useragent="curl/8.0",
        data=data,
    )
    assert decode(encode(went)) == went


def test_an_event_of_an_earlier_release_says_nothing_of_name_type_and_user_agent(event: MakeEvent) -> None:
    found = decode(changed(event("default"), actorname=..., actortype=..., useragent=...))
    assert (found.actorname, found.actortype, found.useragent) == (None, None, None)


def test_what_follows_from_an_event_has_its_caller(event: MakeEvent) -> None:
    cause = replace(
        event("acme"), actorid="bj", actorname="Barbara", actortype="user", useragent="curl/8.0", sourceip="192.0.2.7"
    )
    assert cause.caller == Caller(
        "acme", "bj", "192.0.2.7", actor_name="Barbara", actor_type="user", user_agent="curl/8.0"
    )


def test_the_json_is_a_cloudevent_whose_attributes_have_names_of_small_letters(event: MakeEvent) -> None:
    document = json.loads(encode(event("default")))
    assert document["specversion"] == "1.0"
    assert document["datacontenttype"] == "application/json"
    assert {"id", "source", "type", "subject", "time", "tenantid", "actorid", "data"} <= set(document)
    assert all(name.isalnum() and name == name.lower() and len(name) <= 20 for name in document)


def test_the_routing_key_is_the_type_without_prefix_and_the_action_also_without_version(event: MakeEvent) -> None:
    made = event("default", "users.user.created.v12")
    assert made.type == "quartet.users.user.created.v12"
    assert made.routing_key == "users.user.created.v12"
    assert made.action == "users.user.created"


def test_attributes_that_are_not_known_are_not_minded(event: MakeEvent) -> None:
    assert decode(changed(event("default"), dataschema="https://example.com/schema")).tenantid == "default"


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "time", "tenantid", "actorid", "sequence", "data"])
def test_an_event_without_one_of_its_attributes_is_malformed_and_the_reason_names_it(
    event: MakeEvent, name: str
) -> None:
    with pytest.raises(MalformedEventError, match=name):
        decode(changed(event("default"), **{name: ...}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "not-a-uuid"),
        ("time", "yesterday"),
        ("time", "2026-01-31T09:00:00"),
        ("sequence", "3"),
        ("data", []),
        ("tenantid", None),
        ("specversion", "0.3"),
    ],
)
def test_an_event_with_a_wrong_value_is_malformed(event: MakeEvent, name: str, value: object) -> None:
    with pytest.raises(MalformedEventError):
        decode(changed(event("default"), **{name: value}))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"hello", b"\xff\xfe", b'{"id":'])
def test_what_is_no_event_at_all_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedEventError):
        decode(body)
