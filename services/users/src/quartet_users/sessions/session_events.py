"""Events of sessions."""

from typing import Literal
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent

SESSION_ENDED = "users.session.ended.v1"

EndReason = Literal["logout", "revoked", "reuse", "password_changed", "deactivated", "deleted", "superseded", "expired"]
"""Why a session ended: by its user, by an administrator, by reuse of a refresh token, by a change of the user's
password or `active`, by deletion of the user, by newer sessions of the user, or by time.
"""


def session_ended(session_id: UUID, user_id: UUID, client_id: str, reason: EndReason) -> DomainEvent:
    """A session ended, and its tokens are not valid any more."""
    data = {"id": str(session_id), "userId": str(user_id), "clientId": client_id, "reason": reason}
    return DomainEvent(SESSION_ENDED, f"sessions/{session_id}", 2, data)
