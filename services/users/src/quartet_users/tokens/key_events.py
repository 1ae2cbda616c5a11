"""Events of signing keys."""

from datetime import datetime

from quartet_common.messaging.outbox import DomainEvent

KEY_ROTATED = "users.key.rotated.v1"


def key_rotated(key_id: str, signs_from: datetime, withdrawn: list[str]) -> DomainEvent:
    """A new key signs access tokens from a time on; `withdrawn` are the keys whose tokens are refused from now on."""
    data = {"id": key_id, "signsFrom": signs_from.isoformat(), "withdrawn": withdrawn}
    return DomainEvent(KEY_ROTATED, f"keys/{key_id}", 1, data)
