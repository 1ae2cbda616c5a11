"""The events that the users service publishes: the contract, with one JSON Schema each in schemas/."""

from datetime import datetime
from typing import Any, Literal, Protocol, TypedDict
from uuid import UUID

from quartet_common.auth.revocations import Revocation
from quartet_common.core.identifiers import new_id
from quartet_common.messaging.envelope import DENIED
from quartet_common.messaging.event_types import REVOKED, TENANT_DELETED
from quartet_common.messaging.outbox import DomainEvent
from quartet_scim.schema import Schema
from quartet_users.api_clients import api_client_events
from quartet_users.roles.role_domain import GranteeType, Role

CREATED = "users.user.created.v1"
UPDATED = "users.user.updated.v1"
DELETED = "users.user.deleted.v1"
TENANT_CREATED = "users.tenant.created.v1"
TENANT_UPDATED = "users.tenant.updated.v1"
TENANT_SUSPENDED = "users.tenant.suspended.v1"
TENANT_RESUMED = "users.tenant.resumed.v1"
SCHEMA_CREATED = "users.schema.created.v1"
SCHEMA_DELETED = "users.schema.deleted.v1"
LOGIN_SUCCEEDED = "users.login.succeeded.v1"
LOGIN_FAILED = "users.login.failed.v1"
SESSION_ENDED = "users.session.ended.v1"
SCIM_TOKEN_CREATED = "users.scim_token.created.v1"  # noqa: S105  # nosec B105  # the name of an event
SCIM_TOKEN_REVOKED = "users.scim_token.revoked.v1"  # noqa: S105  # nosec B105  # the name of an event
KEY_ROTATED = "users.key.rotated.v1"
ROLE_CREATED = "users.role.created.v1"
ROLE_UPDATED = "users.role.updated.v1"
ROLE_DELETED = "users.role.deleted.v1"
ROLE_GRANTED = "users.role.granted.v1"
ROLE_REVOKED = "users.role.revoked.v1"

PUBLISHED = (
    CREATED,
    UPDATED,
    DELETED,
    TENANT_CREATED,
    TENANT_UPDATED,
    TENANT_SUSPENDED,
    TENANT_RESUMED,
    TENANT_DELETED,
    SCHEMA_CREATED,
    SCHEMA_DELETED,
    LOGIN_SUCCEEDED,
    LOGIN_FAILED,
    SESSION_ENDED,
    SCIM_TOKEN_CREATED,
    SCIM_TOKEN_REVOKED,
    KEY_ROTATED,
    ROLE_CREATED,
    ROLE_UPDATED,
    ROLE_DELETED,
    ROLE_GRANTED,
    ROLE_REVOKED,
    REVOKED,
    *api_client_events.PUBLISHED,
)


EndReason = Literal["logout", "revoked", "reuse", "password_changed", "deactivated", "deleted", "superseded", "expired"]
"""Why a session ended: by the person, by an administrator, since a refresh token came twice, with the user's password,
activity or existence, for newer ones of the user, or by time."""


class FailedLogins(TypedDict):
    """What is told of logins that failed: one, or several alike."""

    userName: str
    userId: str | None
    reason: str
    count: int
    first: str
    last: str


class ScimTokenFacts(Protocol):
    """What is told of a SCIM token."""

    @property
    def id(self) -> UUID:
        """Its id."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def scopes(self) -> frozenset[str]:
        """What it may do."""

    @property
    def expires_at(self) -> datetime | None:
        """When it ends; None for never."""


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


def tenant_updated(tenant: str, version: int, display_name: str) -> DomainEvent:
    """A tenant has another name."""
    return DomainEvent(TENANT_UPDATED, f"tenants/{tenant}", version, {"id": tenant, "displayName": display_name})


def tenant_suspended(tenant: str, version: int) -> DomainEvent:
    """All tokens of a tenant are refused until it is resumed."""
    return DomainEvent(TENANT_SUSPENDED, f"tenants/{tenant}", version, {"id": tenant})


def tenant_resumed(tenant: str, version: int) -> DomainEvent:
    """A suspended tenant has access again."""
    return DomainEvent(TENANT_RESUMED, f"tenants/{tenant}", version, {"id": tenant})


def tenant_deleted(tenant: str, version: int) -> DomainEvent:
    """A tenant is gone for good; every service removes what it has of it."""
    return DomainEvent(TENANT_DELETED, f"tenants/{tenant}", version, {"id": tenant})


def schema_created(schema: Schema, version: int) -> DomainEvent:
    """A tenant registered a schema; `version` counts the changes of the tenant's schemas."""
    return DomainEvent(SCHEMA_CREATED, f"schemas/{schema.id}", version, _schema_facts(schema))


def schema_deleted(schema: Schema, version: int) -> DomainEvent:
    """A tenant has removed a schema."""
    return DomainEvent(SCHEMA_DELETED, f"schemas/{schema.id}", version, _schema_facts(schema))


def scim_token_created(token: ScimTokenFacts) -> DomainEvent:
    """A tenant got a SCIM token; neither it nor what it is known by is told."""
    return DomainEvent(SCIM_TOKEN_CREATED, f"scim-tokens/{token.id}", 1, _scim_token_facts(token))


def scim_token_revoked(token: ScimTokenFacts) -> DomainEvent:
    """A SCIM token has ended before its time."""
    return DomainEvent(SCIM_TOKEN_REVOKED, f"scim-tokens/{token.id}", 2, _scim_token_facts(token))


def key_rotated(key_id: str, signs_from: datetime, withdrawn: list[str]) -> DomainEvent:
    """Another key signs access tokens from a moment on; `withdrawn` are those that are not believed any more."""
    data = {"id": key_id, "signsFrom": signs_from.isoformat(), "withdrawn": withdrawn}
    return DomainEvent(KEY_ROTATED, f"keys/{key_id}", 1, data)


def role_created(role: Role) -> DomainEvent:
    """A role came into being."""
    return DomainEvent(ROLE_CREATED, f"roles/{role.id}", role.version, _role_facts(role))


def role_updated(role: Role, changed: list[str]) -> DomainEvent:
    """A role changed; `changed` names what of it."""
    return DomainEvent(ROLE_UPDATED, f"roles/{role.id}", role.version, {**_role_facts(role), "changed": changed})


def role_deleted(role: Role) -> DomainEvent:
    """A role is gone, and nobody has it any more."""
    return DomainEvent(ROLE_DELETED, f"roles/{role.id}", role.version + 1, _role_facts(role))


def role_granted(role: Role, version: int, grantee_type: GranteeType, grantee: UUID) -> DomainEvent:
    """A role was given to a user or a group; `version` is the role's afterwards."""
    return DomainEvent(ROLE_GRANTED, f"roles/{role.id}", version, _grant_facts(role, grantee_type, grantee))


def role_revoked(role: Role, version: int, grantee_type: GranteeType, grantee: UUID) -> DomainEvent:
    """A role was taken from a user or a group; `version` is the role's afterwards."""
    return DomainEvent(ROLE_REVOKED, f"roles/{role.id}", version, _grant_facts(role, grantee_type, grantee))


def token_revoked(revocation: Revocation) -> DomainEvent:
    """Tokens are refused from now on; no token is in it, only what points at them."""
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


def _scim_token_facts(token: ScimTokenFacts) -> dict[str, Any]:
    return {
        "id": str(token.id),
        "name": token.name,
        "scopes": sorted(token.scopes),
        "expiresAt": None if token.expires_at is None else token.expires_at.isoformat(),
    }


def _role_facts(role: Role) -> dict[str, Any]:
    return {"id": str(role.id), "name": role.name, "scopes": sorted(role.scopes)}


def _grant_facts(role: Role, grantee_type: GranteeType, grantee: UUID) -> dict[str, Any]:
    return {"id": str(role.id), "name": role.name, "grantee": str(grantee), "granteeType": grantee_type}
