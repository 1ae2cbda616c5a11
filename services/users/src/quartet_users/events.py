"""The events that the users service publishes: the contract, with one JSON Schema each in schemas/."""

from typing import Any, Literal, TypedDict
from uuid import UUID

from quartet_common.auth.revocations import REVOKED, Revocation
from quartet_common.ids import new_id
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.outbox import DomainEvent
from quartet_scim.schema import Schema

CREATED = "users.user.created.v1"
UPDATED = "users.user.updated.v1"
DELETED = "users.user.deleted.v1"
TENANT_CREATED = "users.tenant.created.v1"
SCHEMA_CREATED = "users.schema.created.v1"
SCHEMA_DELETED = "users.schema.deleted.v1"
LOGIN_SUCCEEDED = "users.login.succeeded.v1"
LOGIN_FAILED = "users.login.failed.v1"
SESSION_ENDED = "users.session.ended.v1"

PUBLISHED = (
    CREATED,
    UPDATED,
    DELETED,
    TENANT_CREATED,
    SCHEMA_CREATED,
    SCHEMA_DELETED,
    LOGIN_SUCCEEDED,
    LOGIN_FAILED,
    SESSION_ENDED,
    REVOKED,
)


EndReason = Literal["logout", "revoked", "reuse", "password_changed", "deactivated", "deleted", "expired"]
"""Why a session ended: by the person, by an administrator, since a refresh token came twice, with the user's password,
activity or existence, or by time."""


class FailedLogins(TypedDict):
    """What is told of logins that failed: one, or several alike."""

    userName: str
    userId: str | None
    reason: str
    count: int
    first: str
    last: str


class UserFacts(TypedDict):
    """What every user event tells of the user."""

    id: str
    userName: str
    displayName: str | None
    externalId: str | None
    active: bool


def created(user_id: UUID, version: int, facts: UserFacts) -> DomainEvent:
    """A user came into being."""
    return DomainEvent(CREATED, f"users/{user_id}", version, {**facts})


def updated(user_id: UUID, version: int, facts: UserFacts, changed: list[str]) -> DomainEvent:
    """Attributes of a user changed; `changed` names them, values of secrets are never told."""
    return DomainEvent(UPDATED, f"users/{user_id}", version, {**facts, "changed": changed})


def deleted(user_id: UUID, version: int, facts: UserFacts) -> DomainEvent:
    """A user is gone."""
    return DomainEvent(DELETED, f"users/{user_id}", version, {**facts})


def tenant_created(tenant: str) -> DomainEvent:
    """A tenant came into being."""
    return DomainEvent(TENANT_CREATED, f"tenants/{tenant}", 1, {"id": tenant})


def schema_created(schema: Schema, version: int) -> DomainEvent:
    """A tenant registered a schema; `version` counts the changes of the tenant's schemas."""
    return DomainEvent(SCHEMA_CREATED, f"schemas/{schema.id}", version, _schema_facts(schema))


def schema_deleted(schema: Schema, version: int) -> DomainEvent:
    """A tenant has removed a schema."""
    return DomainEvent(SCHEMA_DELETED, f"schemas/{schema.id}", version, _schema_facts(schema))


def token_revoked(revocation: Revocation) -> DomainEvent:
    """Tokens are refused from now on; no token is in it, only what points at them."""
    data = {
        "tenant": revocation.tenant,
        "kind": revocation.kind,
        "id": revocation.id,
        "revokedAt": revocation.revoked_at.isoformat(),
        "endless": revocation.endless,
    }
    sequence = int(revocation.revoked_at.timestamp() * 1000)
    return DomainEvent(REVOKED, f"revocations/{revocation.kind}-{revocation.id}", sequence, data)


def login_succeeded(session_id: UUID, user_id: UUID, user_name: str, client_id: str) -> DomainEvent:
    """Somebody has logged in: a session began."""
    data = {"userId": str(user_id), "userName": user_name, "sessionId": str(session_id), "clientId": client_id}
    return DomainEvent(LOGIN_SUCCEEDED, f"sessions/{session_id}", 1, data)


def login_failed(facts: FailedLogins) -> DomainEvent:
    """Somebody could not log in."""
    return DomainEvent(LOGIN_FAILED, f"logins/{new_id()}", 1, {**facts}, DENIED)


def session_ended(session_id: UUID, user_id: UUID, client_id: str, reason: EndReason) -> DomainEvent:
    """A session is over, and its tokens with it."""
    data = {"id": str(session_id), "userId": str(user_id), "clientId": client_id, "reason": reason}
    return DomainEvent(SESSION_ENDED, f"sessions/{session_id}", 2, data)


def _schema_facts(schema: Schema) -> dict[str, Any]:
    return {"id": schema.id, "name": schema.name, "attributes": [attribute.name for attribute in schema.attributes]}
