"""Deliveries: the messages of a consumer, their events, and copies of these for other queues."""

from typing import Any

import msgspec
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from quartet_common.messaging.envelope import CONTENT_TYPE, Event, elements
from quartet_common.messaging.topology import EVENTS_HEADER

ATTEMPT_HEADER = "x-quartet-attempt"
REASON_HEADER = "x-quartet-reason"
RETURNS_HEADER = "x-quartet-returns"
"""How often a dead letter was redriven."""
REDRIVE_HEADER = "x-quartet-redrive"
"""The id of the redrive that has sent a message."""
DELIVERIES_HEADER = "x-delivery-count"
"""How often a quorum queue has delivered a message before, without an answer."""
LEFT_BEHIND = frozenset({"CC", DELIVERIES_HEADER, "x-acquired-count"})
"""Headers that copies do not have: CC would route more copies, and the others are counted per message."""


class Item(msgspec.Struct, frozen=True):
    """One event, with its message and its place in the batch."""

    message: AbstractIncomingMessage
    number: int
    event: Event

    @property
    def body(self) -> bytes:
        """The event's JSON as received."""
        return elements(self.message.body)[self.number] if is_batch(self.message) else self.message.body

    @property
    def attempt(self) -> int:
        """How often the event has failed before."""
        return header_number(self.message, ATTEMPT_HEADER)


def is_batch(message: AbstractIncomingMessage) -> bool:
    """Whether a message is a CloudEvents batch."""
    return (message.content_type or "").startswith("application/cloudevents-batch")


def header_number(message: AbstractIncomingMessage, header: str, default: int = 0) -> int:
    """The whole number in a header; `default` if there is none."""
    value = message.headers.get(header)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def copy_of(
    message: AbstractIncomingMessage, body: bytes | None = None, attempt: int = 0, reason: str | None = None
) -> Message:
    """A persistent copy of `message`, or of the event `body` of its batch, for another queue.

    A failed event has a `reason` and the number of attempts.
    """
    headers = {key: value for key, value in message.headers.items() if key not in LEFT_BEHIND}
    content_type, message_id, kind = message.content_type, message.message_id, message.type
    if body is not None and is_batch(message):
        envelope = _facts(body)
        content_type, message_id, kind = CONTENT_TYPE, envelope.get("id"), envelope.get("type")
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
    """The texts in the envelope of an event, as far as it is readable."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
