"""The envelope: CloudEvents 1.0 as structured JSON, with Quartet's extensions; one event, or a batch of them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json; charset=utf-8"
"""A JSON array of events (CloudEvents JSON format, section 4)."""
TYPE_PREFIX = "quartet."
SUCCESS = "success"
DENIED = "denied"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One event (CloudEvents 1.0 section 3). Extension names are lower case without separators (section 3.1)."""

    id: UUID
    source: str
    type: str
    subject: str
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    tenantid: str
    actorid: str
    sequence: int
    """Version of the aggregate after this event; a consumer ignores older events."""
    outcome: str = SUCCESS
    traceparent: str | None = None
    """Trace context of the request that caused the event (CloudEvents distributed tracing extension)."""
    sourceip: str | None = None
    actorname: str | None = None
    """The userName of a person, or the name of a client, when its token was issued; at most 128 characters."""
    actortype: str | None = None
    """`user`, `client`, `service` or `anonymous`."""
    useragent: str | None = None
    """The User-Agent of the request (RFC 9110 section 10.1.5), at most 256 characters."""
    data: dict[str, Any]
    specversion: str = "1.0"
    datacontenttype: str = "application/json"

    @property
    def routing_key(self) -> str:
        """The routing key: the type without `quartet.`, e.g. `users.user.created.v1`."""
        return self.type.removeprefix(TYPE_PREFIX)

    @property
    def action(self) -> str:
        """The type without prefix and version, e.g. `users.user.created`."""
        return self.routing_key.rpartition(".")[0]

    @property
    def caller(self) -> Caller:
        """Who caused the event, for the events that follow from it."""
        return Caller(
            self.tenantid,
            self.actorid,
            self.sourceip,
            actor_name=self.actorname,
            actor_type=self.actortype,
            user_agent=self.useragent,
        )


class MalformedEventError(Exception):
    """A message that is not an event; it is dead-lettered, not retried."""


class Malformed(msgspec.Struct, frozen=True):
    """An element of a batch that is not an event: its JSON, and why."""

    body: bytes
    reason: str


_decoder = msgspec.json.Decoder(Event)
_batch_decoder = msgspec.json.Decoder(list[Event])
_elements_decoder = msgspec.json.Decoder(list[msgspec.Raw])
encode: Callable[[Event], bytes] = msgspec.json.Encoder().encode
"""An event in the structured JSON format."""


def encode_batch(events: Sequence[bytes]) -> bytes:
    """A batch of encoded events."""
    return b"[%b]" % b",".join(events)


def decode(body: bytes) -> Event:
    """The event in `body`. Raises MalformedEventError with the reason."""
    try:
        event = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:  # msgspec raises the last two too
        raise MalformedEventError(f"not a CloudEvents envelope: {error}") from error
    if event.specversion != "1.0":
        raise MalformedEventError(f"CloudEvents version {event.specversion} is not supported")
    return event


def decode_batch(body: bytes) -> list[Event | Malformed]:
    """The elements of a batch, in order. Raises MalformedEventError unless it is a JSON array."""
    try:
        events = _batch_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [_decode_element(element) for element in elements(body)]
    if all(event.specversion == "1.0" for event in events):
        return list[Event | Malformed](events)
    return [_decode_element(element) for element in elements(body)]


def elements(body: bytes) -> list[bytes]:
    """The JSON of each element of a batch, as in `body`. Raises MalformedEventError."""
    try:
        return [bytes(element) for element in _elements_decoder.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEventError(f"not a CloudEvents batch: {error}") from error


def _decode_element(element: bytes) -> Event | Malformed:
    try:
        return decode(element)
    except MalformedEventError as error:
        return Malformed(element, str(error))
