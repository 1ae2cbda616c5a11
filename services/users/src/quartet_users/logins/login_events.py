"""Events of logins."""

from typing import TypedDict
from uuid import UUID

from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.outbox import DomainEvent

LOGIN_SUCCEEDED = "users.login.succeeded.v1"

LOGIN_FAILED = "users.login.failed.v1"


class FailedLoginFacts(TypedDict):
    """The data of one failed login, or of several with the same user, address and reason."""

    userName: str
    userId: str | None
    reason: str
    count: int
    first: str
    last: str


def login_succeeded(session_id: UUID, user_id: UUID, user_name: str, client_id: str) -> DomainEvent:
    """A user has logged in: a session began."""
    data = {"userId": str(user_id), "userName": user_name, "sessionId": str(session_id), "clientId": client_id}
    return DomainEvent(LOGIN_SUCCEEDED, f"sessions/{session_id}", 1, data)


def login_failed(facts: FailedLoginFacts) -> DomainEvent:
    """A login failed."""
    return DomainEvent(LOGIN_FAILED, f"logins/{new_id()}", 1, {**facts}, DENIED)
