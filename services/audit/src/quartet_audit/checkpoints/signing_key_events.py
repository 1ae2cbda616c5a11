"""Events of signing keys."""

from collections.abc import Sequence

from quartet_audit.checkpoints.signing_key_domain import KeyPeriod
from quartet_common.messaging.outbox import DomainEvent

KEY_ROTATED = "audit.key.rotated.v1"


def key_rotated(key: KeyPeriod, replaced: Sequence[KeyPeriod]) -> DomainEvent:
    """A signing key was rotated: `key` is the new one, `replaced` are the earlier ones with their end times."""
    data = {
        "id": key.id,
        "type": key.type,
        "signsFrom": key.signs_from.isoformat(),
        "replaced": [
            {"id": one.id, "signsUntil": one.until.isoformat()}
            for one in replaced
            if one.type == key.type and one.until is not None
        ],
    }
    return DomainEvent(KEY_ROTATED, f"keys/{key.id}", 1, data)
