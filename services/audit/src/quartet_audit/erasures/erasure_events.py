"""Events of the erasure of persons."""

from uuid import UUID

from quartet_audit.erasures.erasure_domain import Erasure
from quartet_common.messaging.outbox import DomainEvent

ERASURE_REQUESTED = "audit.erasure.requested.v1"
ERASURE_COMPLETED = "audit.erasure.completed.v1"


def erasure_requested(identifier: UUID) -> DomainEvent:
    """The erasure of a person was requested. The event does not name the person, because it stays in the log."""
    return DomainEvent(ERASURE_REQUESTED, f"erasures/{identifier}", 1, {})


def erasure_completed(erasure: Erasure) -> DomainEvent:
    """The erasure of a person was completed: in `entries` entries, `parts` personal parts were erased."""
    data = {"entries": erasure.entries, "parts": erasure.parts}
    return DomainEvent(ERASURE_COMPLETED, f"erasures/{erasure.id}", 2, data)
