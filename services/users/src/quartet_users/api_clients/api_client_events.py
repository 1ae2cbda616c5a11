"""Events of API clients; their JSON Schemas are in schemas/."""

from typing import Any
from uuid import UUID

from quartet_common.messaging.changed_values import changed_values
from quartet_common.messaging.outbox import DomainEvent
from quartet_users.api_clients.api_client_domain import ApiClient

CREATED = "users.client.created.v1"
UPDATED = "users.client.updated.v1"
DELETED = "users.client.deleted.v1"
SECRET_CREATED = "users.client.secret_created.v1"  # noqa: S105  # the name of an event
SECRET_REVOKED = "users.client.secret_revoked.v1"  # noqa: S105  # the name of an event
ISSUED = "users.token.issued.v1"

PUBLISHED = (CREATED, UPDATED, DELETED, SECRET_CREATED, SECRET_REVOKED, ISSUED)


def client_created(client: ApiClient) -> DomainEvent:
    """A client was created."""
    return _event(CREATED, client)


def client_updated(before: ApiClient, client: ApiClient, changed: list[str]) -> DomainEvent:
    """A client was changed; `changed` names the fields."""
    changes = changed_values(_values(before), _values(client), changed)
    return _event(UPDATED, client, changed=changed, **changes)


def client_deleted(client: ApiClient) -> DomainEvent:
    """A client was deleted; the version is one after its last."""
    return _event(DELETED, client, version=client.version + 1)


def client_secret_created(client: ApiClient, secret_id: UUID) -> DomainEvent:
    """A secret of a client was created; the secret itself is not published."""
    return _event(SECRET_CREATED, client, secretId=str(secret_id))


def client_secret_revoked(client: ApiClient, secret_id: UUID) -> DomainEvent:
    """A secret of a client was revoked."""
    return _event(SECRET_REVOKED, client, secretId=str(secret_id))


def token_issued(client_id: str, scopes: frozenset[str], token_id: str) -> DomainEvent:
    """A client of the configuration got an access token for a customer's tenant."""
    data = {"clientId": client_id, "scopes": sorted(scopes)}
    return DomainEvent(ISSUED, f"tokens/{token_id}", 1, data)


def _values(client: ApiClient) -> dict[str, Any]:
    """What of a client can change, by the names in `changed`."""
    end = None if client.expires_at is None else client.expires_at.isoformat()
    return {"name": client.name, "scopes": sorted(client.scopes), "jwks": client.jwks, "expires_at": end}


def _event(kind: str, client: ApiClient, version: int | None = None, **more: Any) -> DomainEvent:
    facts = {
        "id": client.id,
        "name": client.name,
        "scopes": sorted(client.scopes),
        "authentication": client.authentication,
        "expiresAt": None if client.expires_at is None else client.expires_at.isoformat(),
    }
    return DomainEvent(kind, f"clients/{client.id}", version or client.version, {**facts, **more})
