"""The rules for events of applications: which are accepted, and how they are published."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from quartet_audit.entries.digest_domain import recorded_id
from quartet_common.core.caller import CONTROL
from quartet_common.core.validation_messages import shown
from quartet_common.messaging.envelope import DENIED, SUCCESS
from quartet_common.messaging.event_types import APPLICATION
from quartet_common.messaging.outbox import DomainEvent

MAX_BYTES = 64 * 1024
"""Bytes of one event as sent."""
MAX_TEXT = 256
"""Characters of `id`, `source`, `subject` and of the value of an extension."""
MAX_ATTRIBUTES = 30
MAX_DEPTH = 32
"""Levels of objects and arrays in `data`."""
FUTURE = timedelta(minutes=5)
"""How far the clock of an application may be ahead."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
VERSION = "v1"
"""Version of the form of `data`, as at the end of each type that Quartet publishes."""
TYPE = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9_:/-]+(\.[A-Za-z0-9_:/-]+)*")
SOURCE = re.compile(r"([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
"""The characters of a URI reference (RFC 3986 section 2)."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
"""RFC 3339 section 5.6."""
COLLECTION = re.compile(r"[A-Za-z0-9_-]{1,64}")
NAME = re.compile(r"[a-z0-9]{1,20}")
"""Names of attributes (CloudEvents 1.0 section 3.1)."""
OUTCOMES = (SUCCESS, DENIED)
KNOWN = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema"}
BODIES = {"data", "data_base64"}
"""Members with the data (CloudEvents JSON format section 3.1)."""


class RefusedEventError(Exception):
    """An event that is not accepted, and why."""


@dataclass(frozen=True)
class ApplicationEvent:
    """An accepted CloudEvent. `data` is what the published event has as its data: the attributes as sent, of
    which `data` and `data_base64` are JSON already.
    """

    id: str
    source: str
    type: str
    subject: str | None
    time: datetime | None
    outcome: str
    data: dict[str, Any]

    @property
    def digest(self) -> bytes:
        """SHA-256 of source and id, which together are unique (CloudEvents 1.0 section 3.1.1)."""
        return hashlib.sha256(f"{len(self.source)}:{self.source}{self.id}".encode()).digest()

    def published(self, event_id: UUID, key: bytes) -> DomainEvent:
        """The event that Quartet publishes for it: `app.<type>.v1` with an id of its own; `key` is the tenant's."""
        return DomainEvent(
            f"{APPLICATION}.{self.type}.{VERSION}",
            f"events/{event_id}" if self.subject is None else _resource(self.subject, key),
            1,
            self.data,
            self.outcome,
            id=event_id,
            time=self.time,
        )


def _resource(subject: str, key: bytes) -> str:
    """The collection and id that the facts have of a subject. They outlive an erasure: only a UUID stays as it is."""
    collection, slash, identifier = subject.partition("/")
    if not slash or COLLECTION.fullmatch(collection) is None:
        collection, identifier = "subjects", subject
    return f"{collection}/{recorded_id(identifier, key)}"


def keyed(digest: bytes, key: bytes) -> bytes:
    """The digest that is stored of an event, from that of its source and id."""
    return hmac.digest(key, digest, "sha256")


def read_event(sent: bytes, now: datetime) -> ApplicationEvent:
    """The event in `sent`, a CloudEvent in JSON. Raises RefusedEventError."""
    if len(sent) > MAX_BYTES:
        raise RefusedEventError(f"The event has {len(sent)} bytes; at most {MAX_BYTES} are allowed.")
    try:
        attributes = msgspec.json.decode(sent)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise RefusedEventError("The event is not valid JSON.") from None
    if not isinstance(attributes, dict):
        raise RefusedEventError("The event is not a JSON object.")
    return check_event(attributes, now)


def check_event(attributes: dict[str, Any], now: datetime) -> ApplicationEvent:
    """The event with `attributes` in the JSON format of CloudEvents, where null means absent. Raises
    RefusedEventError.
    """
    given = {name: value for name, value in attributes.items() if value is not None}
    if given.get("specversion") != "1.0":
        raise RefusedEventError(f"specversion must be 1.0, got {_shown(given.get('specversion'))}.")
    extensions = _extensions(given)
    outcome = extensions.get("outcome", SUCCESS)
    if outcome not in OUTCOMES:
        raise RefusedEventError(f"outcome must be one of {', '.join(OUTCOMES)}, got {_shown(outcome)}.")
    texts = {name: _text(name, given[name]) for name in KNOWN - {"type", "time"} if name in given}
    for name in ("id", "source"):
        if name not in texts:
            raise RefusedEventError(f"{name} is missing.")
    if SOURCE.fullmatch(texts["source"]) is None:
        raise RefusedEventError(f"source must be a URI or a path, got {_shown(texts['source'])}.")
    data = {**{name: given[name] for name in sorted(KNOWN & given.keys())}, **_data(given)}
    if extensions:
        data["extensions"] = extensions
    kind, time = _type(given), _time(given, now)
    return ApplicationEvent(texts["id"], texts["source"], kind, texts.get("subject"), time, outcome, data)


def _extensions(given: dict[str, Any]) -> dict[str, Any]:
    if len(given) > MAX_ATTRIBUTES:
        raise RefusedEventError(f"The event has {len(given)} attributes; at most {MAX_ATTRIBUTES} are allowed.")
    found = {}
    for name in given.keys() - KNOWN - BODIES:
        if NAME.fullmatch(name) is None:
            raise RefusedEventError(f"{_shown(name)} is no name of an attribute: use 1 to 20 of a-z and 0-9.")
        value = given[name]
        found[name] = value if isinstance(value, bool | int) else _text(name, value)
    return dict(sorted(found.items()))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or CONTROL.search(value):
        raise RefusedEventError(f"{name} must be a text of 1 to {MAX_TEXT} characters without control characters.")
    return value


def _type(given: dict[str, Any]) -> str:
    kind = given.get("type")
    if not isinstance(kind, str) or TYPE.fullmatch(kind) is None:
        raise RefusedEventError(
            f"type must be 1 to 128 letters, digits and _:/- in words separated by dots, got {_shown(kind)}."
        )
    if kind.partition(".")[0].lower() == "quartet":
        raise RefusedEventError(f"type must not begin with quartet, the prefix of Quartet itself, got {_shown(kind)}.")
    return kind


def _time(given: dict[str, Any], now: datetime) -> datetime | None:
    if "time" not in given:
        return None
    text = given["time"]
    try:
        if not isinstance(text, str) or TIME.fullmatch(text) is None:
            raise ValueError
        found = msgspec.convert(text, datetime).astimezone(UTC)
    except (ValueError, OverflowError):  # ValueError: includes msgspec.ValidationError
        raise RefusedEventError(
            f"time must be an RFC 3339 time with its offset, such as 2026-01-31T09:00:00Z, got {_shown(text)}."
        ) from None
    if not EARLIEST <= found <= now + FUTURE:
        raise RefusedEventError(f"time must be after 1969 and at most 5 minutes in the future, got {_shown(text)}.")
    return found


def _data(given: dict[str, Any]) -> dict[str, Any]:
    found = {name: given[name] for name in sorted(BODIES) if name in given}
    if len(found) > 1:
        raise RefusedEventError("The event has both data and data_base64.")
    if not isinstance(found.get("data_base64", ""), str):
        raise RefusedEventError("data_base64 must be a text.")
    if _is_deep(found, MAX_DEPTH + 1):
        raise RefusedEventError(f"data is nested more than {MAX_DEPTH} levels deep.")
    # as JSON: many small objects and arrays take thirty times as much memory as their text
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in found.items()}


def _is_deep(value: object, levels: int) -> bool:
    """Whether `value` has more than `levels` of objects and arrays inside each other."""
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deep(one, levels - 1) for one in parts)


def _shown(value: object) -> str:
    return "nothing" if value is None else shown(str(value))
