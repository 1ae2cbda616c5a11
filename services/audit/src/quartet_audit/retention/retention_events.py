"""Events of retention and legal holds."""

from quartet_audit.retention.legal_hold_domain import LegalHold
from quartet_common.core.identifiers import new_id
from quartet_common.messaging.changed_values import changed_values
from quartet_common.messaging.outbox import DomainEvent

RETENTION_CHANGED = "audit.retention.changed.v1"
RETENTION_APPLIED = "audit.retention.applied.v1"
HOLD_SET = "audit.legal_hold.set.v1"
HOLD_RELEASED = "audit.legal_hold.released.v1"


def retention_changed(before: int | None, days: int | None) -> DomainEvent:
    """The days after which entries expire were changed; None keeps them for ever."""
    changes = changed_values({"days": before}, {"days": days}, ["days"])
    return DomainEvent(RETENTION_CHANGED, f"retentions/{new_id()}", 1, {"days": days, "changed": ["days"], **changes})


def retention_applied(entries: int, before: int) -> DomainEvent:
    """A run of retention has removed `entries` entries: with those of earlier runs, all below `before`.

    The subject says it too, since the facts of an entry are never erased: a verifier looks there.
    """
    return DomainEvent(RETENTION_APPLIED, f"retention/{before}", 1, {"entries": entries, "before": before})


def hold_set(hold: LegalHold) -> DomainEvent:
    """A legal hold was set on the log of a tenant."""
    return DomainEvent(HOLD_SET, f"legal-holds/{hold.id}", 1, {"tenant": hold.tenant, "reason": hold.reason})


def hold_released(hold: LegalHold) -> DomainEvent:
    """A legal hold was released."""
    return DomainEvent(HOLD_RELEASED, f"legal-holds/{hold.id}", 2, {"tenant": hold.tenant, "reason": hold.reason})
