"""The rules for events of applications: what is accepted, what is refused and why, and how it is published."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from quartet_audit.applications.application_event_domain import (
    MAX_BYTES,
    ApplicationEvent,
    RefusedEventError,
    read_event,
)
from quartet_common.core.caller import Caller
from quartet_common.messaging.envelope import decode, encode_batch
from quartet_common.messaging.outbox import row

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
WITH = dict[str, Any]
KEY = bytes(range(32))
A_UUID = "01a2046c-4531-744c-8f2c-3f0029485a53"


def digest(text: str) -> str:
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def sent(**changes: Any) -> bytes:
    """An event as an application sends it; Ellipsis leaves a member out."""
    usual = {"specversion": "1.0", "id": "4711", "source": "/shop", "type": "com.example.order.cancelled"}
    return json.dumps({name: value for name, value in {**usual, **changes}.items() if value is not ...}).encode()


def read(**changes: Any) -> ApplicationEvent:
    return read_event(sent(**changes), NOW)


def test_the_least_event_is_published_under_a_type_of_applications_with_a_resource_of_its_own() -> None:
    event_id = uuid4()
    published = read().published(event_id, KEY)
    assert (published.type, published.id, published.time) == ("app.com.example.order.cancelled.v1", event_id, None)
    assert (published.subject, published.sequence, published.outcome) == (f"events/{event_id}", 1, "success")
    assert published.data == {
        "id": "4711", "source": "/shop", "specversion": "1.0", "type": "com.example.order.cancelled",
    }  # fmt: skip


def test_everything_that_an_application_sends_is_in_the_data() -> None:
    given = {
        "subject": "orders/7", "time": "2026-01-31T09:59:59.5+01:00", "datacontenttype": "application/json",
        "dataschema": "https://example.com/order", "data": {"by": "bj", "n": [1, None]}, "outcome": "denied",
        "tries": 3, "last": True, "nothing": None,
    }  # fmt: skip
    published = read(**given).published(uuid4(), KEY)
    assert (published.subject, published.outcome) == (f"orders/{digest('7')}", "denied")
    assert published.time == datetime(2026, 1, 31, 8, 59, 59, 500000, UTC)
    kept = {name: given[name] for name in ("subject", "time", "datacontenttype", "dataschema", "data")}
    assert msgspec.json.decode(msgspec.json.encode(published.data)) == {
        "specversion": "1.0", "id": "4711", "source": "/shop", "type": "com.example.order.cancelled", **kept,
        "extensions": {"last": True, "outcome": "denied", "tries": 3},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "resource"),
    [
        (f"orders/{A_UUID}", f"orders/{A_UUID}"),
        (f"Order_lines-2/{A_UUID.upper()}", f"Order_lines-2/{A_UUID}"),
        (A_UUID, f"subjects/{A_UUID}"),
        ("orders/7", f"orders/{digest('7')}"),
        ("customers/bjensen@example.com", f"customers/{digest('bjensen@example.com')}"),
        ("order 7", f"subjects/{digest('order 7')}"),
        ("a/b/c", f"a/{digest('b/c')}"),
        ("Barbara Jensen/7", f"subjects/{digest('Barbara Jensen/7')}"),
        (f"bj@example.com/{A_UUID}", f"subjects/{digest(f'bj@example.com/{A_UUID}')}"),
        (f"{'a' * 65}/7", f"subjects/{digest('a' * 65 + '/7')}"),
        ("orders/", f"orders/{digest('')}"),
    ],
)
def test_a_subject_is_a_collection_and_an_id_of_which_only_a_uuid_is_kept_as_it_is(subject: str, resource: str) -> None:
    assert read(subject=subject).published(uuid4(), KEY).subject == resource


def test_source_and_id_together_are_what_makes_an_event_another() -> None:
    assert read().digest == read(type="x", data=1).digest
    others = [read(id="47"), read(source="/shop4"), read(source="/shop4", id="711"), read(source="/sho", id="p4711")]
    assert len({read().digest, *(one.digest for one in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ...}, "id is missing"),
        ({"id": None}, "id is missing"),
        ({"id": ""}, "id must be a text of 1 to 256"),
        ({"id": 7}, "id must be a text"),
        ({"id": "x" * 257}, "id must be a text"),
        ({"id": "a\nb"}, "without control characters"),
        ({"source": ...}, "source is missing"),
        ({"source": "two words"}, "source must be a URI"),
        ({"source": "/shop%zz"}, "source must be a URI"),
        ({"source": "/b\u00fccher"}, "source must be a URI"),
        ({"specversion": "0.3"}, "specversion must be 1.0, got '0.3'"),
        ({"specversion": ...}, "specversion must be 1.0, got nothing"),
        ({"type": ...}, "type must be 1 to 128"),
        ({"type": "quartet.users.user.created.v1"}, "type must not begin with quartet"),
        ({"type": "Quartet.x"}, "type must not begin with quartet"),
        ({"type": "a..b"}, "type must be 1 to 128"),
        ({"type": "a.#"}, "type must be 1 to 128"),
        ({"type": "a.*"}, "type must be 1 to 128"),
        ({"type": "a" * 129}, "type must be 1 to 128"),
        ({"type": "a\n"}, "type must be 1 to 128"),
        ({"type": "b\u00fccher"}, "type must be 1 to 128"),
        ({"time": "2026-01-31T09:05:01Z"}, "at most 5 minutes in the future"),
        ({"time": "1969-12-31T23:59:59Z"}, "time must be after 1969"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "RFC 3339"),
        ({"time": "2026-01-31T09:00:00"}, "RFC 3339"),
        ({"time": "2026-02-31T09:00:00Z"}, "RFC 3339"),
        ({"time": 1769850000}, "RFC 3339"),
        ({"outcome": "maybe"}, "outcome must be one of success, denied, got 'maybe'"),
        ({"Custom": "x"}, "'Custom' is no name of an attribute"),
        ({"a_b": "x"}, "is no name of an attribute"),
        ({"x" * 21: "x"}, "is no name of an attribute"),
        ({"custom": {"a": 1}}, "custom must be a text"),
        ({"custom": 1.5}, "custom must be a text"),
        ({f"a{number}": "x" for number in range(40)}, "44 attributes; at most 30"),
        ({"data": 1, "data_base64": "AA=="}, "both data and data_base64"),
        ({"data_base64": 1}, "data_base64 must be a text"),
        ({"data": "x" * MAX_BYTES}, "at most 65536 are allowed"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(changes: WITH, reason: str) -> None:
    with pytest.raises(RefusedEventError, match=reason.replace(".", r"\.")):
        read(**changes)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'"x"', b"{", b'{"a": 1e999}', b"\xff", b"[" * 5000, b'"\\ud800"'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RefusedEventError, match="The event is not"):
        read_event(body, NOW)


def test_a_clock_may_be_five_minutes_ahead() -> None:
    assert read(time="2026-01-31T09:05:00Z").time == NOW + timedelta(minutes=5)


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


def test_data_may_be_so_deep_that_each_consumer_can_read_it() -> None:
    event = read(data=nested(32)).published(uuid4(), KEY)
    encoded = row(Caller("acme", "shop"), event, now=NOW, service="audit").event
    assert decode(encoded).data["data"] == nested(32)
    assert encode_batch([encoded])
    with pytest.raises(RefusedEventError, match="more than 32 levels"):
        read(data=nested(33))


@pytest.mark.parametrize("value", ["\x00", "\ud7ff", 2**63, -(2**64), 10**40, 0.1, -0.0, {"": {}}, [None, True]])
def test_any_json_comes_through_the_envelope_as_it_was(value: Any) -> None:
    event = read(data=value).published(uuid4(), KEY)
    found = decode(row(Caller("acme", "shop"), event, now=NOW, service="audit").event)
    assert (found.data["data"], type(found.data["data"])) == (value, type(value))
    assert (found.action, found.tenantid, found.actorid) == ("app.com.example.order.cancelled", "acme", "shop")


@pytest.mark.parametrize("largest", [{"data": "x" * (MAX_BYTES - 106)}, {"type": "a" * 128, "id": "x" * 256}])
def test_the_largest_event_is_accepted(largest: WITH) -> None:
    assert read(**largest).type
