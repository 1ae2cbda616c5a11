"""Events of dead letters and redrives, which each service publishes under its name."""

import hashlib
from uuid import UUID

from quartet_common.messaging.dead_letter_store import DeadLetter, Payload
from quartet_common.messaging.outbox import DomainEvent
from quartet_common.messaging.redrive_store import Redrive

MAX_PAYLOAD = 16 * 1024
"""Bytes of a payload that a discarded dead letter leaves in the audit log; of a longer one the first bytes."""


def redrive_created(service: str, redrive_id: UUID, selected: int, rate: int) -> DomainEvent:
    """Dead letters were selected to be sent again."""
    data = {"selected": selected, "rate": rate}
    return DomainEvent(f"{service}.redrive.created.v1", f"redrives/{redrive_id}", 1, data)


def redrive_finished(service: str, redrive: Redrive) -> DomainEvent:
    """A redrive has sent what it had selected."""
    data = {"selected": redrive.selected, "sent": redrive.sent}
    return DomainEvent(f"{service}.redrive.finished.v1", f"redrives/{redrive.id}", 2, data)


def redrive_cancelled(service: str, redrive: Redrive, left: int) -> DomainEvent:
    """A redrive was cancelled; `left` dead letters stay."""
    data = {"selected": redrive.selected, "sent": redrive.sent, "left": left}
    return DomainEvent(f"{service}.redrive.cancelled.v1", f"redrives/{redrive.id}", 2, data)


def dead_letter_discarded(service: str, letter: DeadLetter, payload: Payload, reason: str) -> DomainEvent:
    """A dead letter was discarded; the audit log keeps a copy of its payload."""
    data = {
        "reason": reason,
        "consumer": letter.consumer,
        "messageId": letter.message_id,
        "type": letter.type,
        "failure": letter.reason,
        "attempts": letter.attempts,
        "diedAt": letter.died_at.isoformat(),
        "bytes": len(payload.body),
        "sha256": hashlib.sha256(payload.body).hexdigest(),
        "payload": payload.body[:MAX_PAYLOAD].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}"),
    }
    return DomainEvent(f"{service}.dead_letter.discarded.v1", f"dead-letters/{letter.id}", 1, data)
