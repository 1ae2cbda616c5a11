"""Events of access tokens."""

from quartet_common.auth.revocations import Revocation
from quartet_common.messaging.event_types import REVOKED
from quartet_common.messaging.outbox import DomainEvent


def token_revoked(revocation: Revocation) -> DomainEvent:
    """Tokens were revoked; the event has no token, but the kind and id of what they belong to."""
    data: dict[str, object] = {
        "tenant": revocation.tenant,
        "kind": revocation.kind,
        "id": revocation.id,
        "revokedAt": revocation.revoked_at.isoformat(),
        "endless": revocation.endless,
    }
    if revocation.expires_at is not None:
        data["expiresAt"] = revocation.expires_at.isoformat()
    sequence = int(revocation.revoked_at.timestamp() * 1000)
    subject = f"revocations/{revocation.kind}-{revocation.id}"
    return DomainEvent(REVOKED, subject, sequence, data, urgent=True)
