"""Deliveries: the messages that a consumer takes, the events in them, and copies of these for other queues."""

from typing import Any

import msgspec
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from quartet_common.messaging.envelope import CONTENT_TYPE, Event, elements
from quartet_common.messaging.topology import EVENTS_HEADER

ATTEMPT_HEADER = "x-quartet-attempt"
REASON_HEADER = "x-quartet-reason"
DELIVERIES_HEADER = "x-delivery-count"
"""How often a quorum queue has delivered a message before without an answer."""
LEFT_BEHIND = frozenset({"CC", DELIVERIES_HEADER, "x-acquired-count"})
"""Headers that a copy does not have: one would route more copies, the others are counted for each message anew."""


class Item(msgspec.Struct, frozen=True):
    """One event, and its place in the message that it came in."""

    message: AbstractIncomingMessage
    number: int
    event: Event

    @property
    def body(self) -> bytes:
        """The event's JSON as it came."""
        return elements(self.message.body)[self.number] if is_batch(self.message) else self.message.body

    @property
    def attempt(self) -> int:
        """How often the event has failed before."""
        return header_number(self.message, ATTEMPT_HEADER)


def is_batch(message: AbstractIncomingMessage) -> bool:
    """Whether a message is a CloudEvents batch."""
    return (message.content_type or "").startswith("application/cloudevents-batch")


def header_number(message: AbstractIncomingMessage, header: str, default: int = 0) -> int:
    """The whole number in a header; `default` where there is none."""
    value = message.headers.get(header)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def copy_of(
    message: AbstractIncomingMessage, body: bytes | None = None, attempt: int = 0, reason: str | None = None
) -> Message:
    """A persistent copy of `message`, or of the one event of its batch that has the JSON `body`, for another queue.

    With a `reason` it says so, and how often it has failed.
    """
    headers = {key: value for key, value in message.headers.items() if key not in LEFT_BEHIND}
    content_type, message_id, kind = message.content_type, message.message_id, message.type
    if body is not None and is_batch(message):
        known = _facts(body)
        content_type, message_id, kind = CONTENT_TYPE, known.get("id"), known.get("type")
        headers.pop(EVENTS_HEADER, None)
    if reason is not None:
        headers |= {ATTEMPT_HEADER: attempt, REASON_HEADER: reason}
    return Message(
        message.body if body is None else body,
        content_type=content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message_id,
        type=kind,
        headers=headers,
    )


def _facts(body: bytes) -> dict[str, str]:
    """The texts in the envelope of an event, as far as it is one."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
