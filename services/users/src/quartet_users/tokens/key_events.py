"""Events of signing keys."""

from datetime import datetime

from quartet_common.messaging.outbox import DomainEvent

KEY_ROTATED = "users.key.rotated.v1"


def key_rotated(key_id: str, signs_from: datetime, withdrawn: list[str]) -> DomainEvent:
    """Another key signs access tokens from a moment on; `withdrawn` are those that are not believed any more."""
    data = {"id": key_id, "signsFrom": signs_from.isoformat(), "withdrawn": withdrawn}
    return DomainEvent(KEY_ROTATED, f"keys/{key_id}", 1, data)
