"""Events of sessions."""

from typing import Literal
from uuid import UUID

from quartet_common.messaging.outbox import DomainEvent

SESSION_ENDED = "users.session.ended.v1"

EndReason = Literal["logout", "revoked", "reuse", "password_changed", "deactivated", "deleted", "superseded", "expired"]
"""Why a session ended: by the person, by an administrator, since a refresh token came twice, with the user's password,
activity or existence, for newer ones of the user, or by time."""


def session_ended(session_id: UUID, user_id: UUID, client_id: str, reason: EndReason) -> DomainEvent:
    """A session is over, and its tokens with it."""
    data = {"id": str(session_id), "userId": str(user_id), "clientId": client_id, "reason": reason}
    return DomainEvent(SESSION_ENDED, f"sessions/{session_id}", 2, data)
