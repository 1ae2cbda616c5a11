"""The AsyncAPI 3.0 document of a service: each type of event that it publishes, with its JSON Schema."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from quartet_common.messaging.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE, TYPE_PREFIX, Event
from quartet_common.messaging.topology import EXCHANGE

Schema = Mapping[str, Any]

DESCRIPTION = (
    "Events are CloudEvents 1.0 in structured JSON. The routing key is the type without `quartet.`. Several events may "
    "be one message of the content type `application/cloudevents-batch+json`, a JSON array of them: its routing key is "
    "that of the first, and its header CC has those of the others. Each event is delivered at least once, and has the "
    "same id each time. Events of one subject arrive in the order of their sequence."
)
ATTRIBUTES: Mapping[str, str] = {
    "id": "Identifies the event: consumers apply each id once.",
    "source": "The service that publishes it.",
    "type": "The type, with its version.",
    "subject": "What the event is about: <collection>/<id>.",
    "time": "When it happened.",
    "tenantid": "The tenant; quartet for what belongs to the platform.",
    "actorid": "Who caused it: the client or person of the token.",
    "sequence": "The version of the subject after the event. Ignore what is older than what you have.",
    "outcome": "success or denied.",
    "traceparent": "The trace context of the request that caused it (W3C Trace Context).",
    "sourceip": "The address of the client.",
    "actorname": "The userName of the person, or the name of the client, when its token was issued.",
    "actortype": "user, client, service or anonymous.",
    "useragent": "The User-Agent of the request.",
    "data": "What has happened.",
    "specversion": "The version of CloudEvents.",
    "datacontenttype": "The media type of data.",
}
"""What the attributes of the envelope mean; docs/events.md says more."""
PARAMETER = re.compile(r"\{(\w+)\}")


def schemas_of(service: str) -> Iterator[Schema]:
    """The JSON Schemas of the types of a service, by name, then those that every service publishes."""
    own = _read(f"quartet_{service}")
    common = _read("quartet_common")
    yield from own
    for schema in common:
        yield {**schema, "title": f"{service}.{schema['title']}"}


def document(service: str, title: str, version: str, schemas: Sequence[Schema]) -> dict[str, Any]:
    """The AsyncAPI 3.0.0 document of `schemas`, whose titles are routing keys; `{name}` in one is a parameter."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"{title}: events", "version": version, "description": DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "channels": {_key(schema): _channel(schema) for schema in schemas},
        "operations": {f"publish.{_key(schema)}": _operation(schema) for schema in schemas},
        "components": {
            "messages": {_key(schema): _message(service, schema) for schema in schemas},
            "schemas": {"CloudEvent": _envelope(), **{_key(schema): _data(schema) for schema in schemas}},
        },
    }


def _read(package: str) -> list[Schema]:
    """The schemas of a package, sorted by name; none without a folder `schemas`."""
    folder = files(package) / "schemas"
    if not folder.is_dir():
        return []
    return sorted((json.loads(file.read_text("utf-8")) for file in folder.iterdir()), key=lambda one: str(one["title"]))


def _key(schema: Schema) -> str:
    """The name of a component: letters, digits, dots and underscores."""
    return PARAMETER.sub(r"\1", schema["title"])


def _channel(schema: Schema) -> dict[str, Any]:
    key = _key(schema)
    channel: dict[str, Any] = {
        "address": schema["title"],
        "description": schema["description"],
        "messages": {key: {"$ref": f"#/components/messages/{key}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": EXCHANGE, "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    }
    names = PARAMETER.findall(schema["title"])
    return {**channel, "parameters": {name: {} for name in names}} if names else channel


def _operation(schema: Schema) -> dict[str, Any]:
    key = _key(schema)
    channel = f"#/channels/{key}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": schema["description"],
        "messages": [{"$ref": f"{channel}/messages/{key}"}],
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "ack": True, "bindingVersion": "0.3.0"}},
    }


def _message(service: str, schema: Schema) -> dict[str, Any]:
    """A message with one event; its payload is the envelope with the type and the data of the schema."""
    key, event_type = _key(schema), TYPE_PREFIX + schema["title"]
    fixed = [re.escape(part) for part in re.split(r"\{\w+\}", event_type)]
    properties = {
        "type": {"const": event_type} if len(fixed) == 1 else {"pattern": f"^{'.+'.join(fixed)}$"},
        "source": {"const": f"/{service}"},
        "data": {"$ref": f"#/components/schemas/{key}"},
    }
    return {
        "name": event_type,
        "title": schema["title"],
        "summary": schema["description"],
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [{"$ref": "#/components/schemas/CloudEvent"}, {"type": "object", "properties": properties}]
        },
        "x-batch-content-type": BATCH_CONTENT_TYPE,
    }


def _envelope() -> dict[str, Any]:
    """The schema of the envelope: what consumers read, with the meaning of each attribute."""
    _, components = msgspec.json.schema_components([Event])
    envelope: dict[str, Any] = dict(components["Event"])
    properties = {name: {**one, "description": ATTRIBUTES[name]} for name, one in envelope["properties"].items()}
    return {
        **envelope,
        "title": "CloudEvent",
        "description": "CloudEvents 1.0 with extensions.",
        "properties": properties,
    }


def _data(schema: Schema) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != "$schema"}
