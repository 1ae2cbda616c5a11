"""The AsyncAPI document: each type is one channel, one operation and one message, and every reference resolves."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator, ValidationError

from quartet_common.messaging.asyncapi import ATTRIBUTES, document, schemas_of
from quartet_common.messaging.envelope import Event, encode

OPENED = {
    "title": "common.door.opened.v1",
    "description": "A door was opened.",
    "type": "object",
    "required": ["door"],
    "properties": {"door": {"description": "Its number.", "type": "integer"}},
}
OF_ANY_TYPE = {"title": "app.{type}.v1", "description": "From an application.", "type": "object"}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document("common", "Quartet common", "1.2.3", [OPENED, OF_ANY_TYPE, *schemas_of("common")])


def references(part: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_reference_resolves(made: dict[str, Any]) -> None:
    found = list(references(made))
    assert len(found) > 10
    for reference in found:
        target: Any = made
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target


def test_the_address_of_a_channel_is_the_routing_key_at_the_exchange(made: dict[str, Any]) -> None:
    channel = made["channels"]["common.door.opened.v1"]
    assert channel["address"] == "common.door.opened.v1"
    assert channel["bindings"]["amqp"]["exchange"]["name"] == "quartet.events"
    operation = made["operations"]["publish.common.door.opened.v1"]
    assert (operation["action"], operation["channel"]) == ("send", {"$ref": "#/channels/common.door.opened.v1"})
    assert made["channels"]["app.type.v1"]["parameters"] == {"type": {}}


def test_types_that_every_service_publishes_have_the_name_of_the_service() -> None:
    titles = [schema["title"] for schema in schemas_of("groups")]
    assert {"groups.group.created.v1", "groups.request.refused.v1", "groups.logging.failed.v1"} <= set(titles)
    assert all(title.startswith("groups.") for title in titles)


def test_every_attribute_of_the_envelope_has_a_description() -> None:
    assert set(ATTRIBUTES) == set(Event.__struct_fields__)


@pytest.mark.parametrize(
    ("key", "attributes", "fault"),
    [
        ("common.door.opened.v1", {}, None),
        ("common.door.opened.v1", {"data": {}}, "'door' is a required property"),
        (
            "common.door.opened.v1",
            {"type": "quartet.common.door.closed.v1"},
            "'quartet.common.door.opened.v1' was expected",
        ),
        ("common.door.opened.v1", {"source": "/users"}, "'/common' was expected"),
        ("app.type.v1", {"type": "quartet.app.com.example.paid.v1", "data": {}}, None),
        ("app.type.v1", {"type": "quartet.app.v1", "data": {}}, "does not match"),
    ],
)
def test_the_payload_of_a_message_is_an_event_as_it_is_sent(
    made: dict[str, Any], key: str, attributes: dict[str, Any], fault: str | None
) -> None:
    event = Event(
        id=uuid4(),
        source="/common",
        type="quartet.common.door.opened.v1",
        subject="doors/7",
        time=datetime.now(UTC),
        tenantid="acme",
        actorid="tester",
        sequence=1,
        data={"door": 7},
    )
    payload = {**json.loads(encode(event)), **attributes}
    validator = Draft202012Validator(
        {**made["components"]["messages"][key]["payload"], "components": made["components"]}
    )
    if fault is None:
        validator.validate(payload)
    else:
        with pytest.raises(ValidationError, match=fault):
            validator.validate(payload)
