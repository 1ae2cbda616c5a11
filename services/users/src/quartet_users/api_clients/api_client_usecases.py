"""Use cases of API clients: create, change and delete clients, create and delete their secrets."""

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from quartet_common.auth.opaque_tokens import ALPHABET, CLIENT_SECRET, digest, make
from quartet_common.auth.revocations import revocation
from quartet_common.auth.scopes import PLATFORM_ADMIN, SCOPES, SERVICE_SCOPE
from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError, ServiceError
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_users.api_clients import api_client_events as events
from quartet_users.api_clients import api_client_store as store
from quartet_users.api_clients.api_client_domain import ApiClient, NewClient
from quartet_users.config import UsersConfig
from quartet_users.tokens.token_revocation import revoke

Container = AppContainer[UsersConfig]

ID_LENGTH = 16
HINT_LENGTH = 4
CLIENT_SCOPES = SCOPES - {SERVICE_SCOPE, PLATFORM_ADMIN}
"""All scopes that a client can have. Platform administrators are users, and clients of the configuration."""
MAX_CLIENTS = 1000
MAX_SECRETS = 5
DEFAULT_OVERLAP = timedelta(days=1)
KEPT = timedelta(days=30)
"""How long an expired secret is listed."""
LAST_USE_INTERVAL = timedelta(minutes=1)
"""Shortest time between two writes of `last_used_at`."""


class ClientConflictError(ServiceError):
    """409: the tenant has too many clients, the client has too many secrets, or it authenticates in another way."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(409, code, detail)


@dataclass(frozen=True)
class CreatedClient:
    """A new client and its secret, which is shown once; None for a client with keys."""

    client: ApiClient
    secret: str | None = field(repr=False)


@dataclass(frozen=True)
class CreatedSecret:
    """A new secret of a client, which is shown once; `old_end_at` is when the old ones expire."""

    id: UUID
    secret: str = field(repr=False)
    old_end_at: datetime


async def add_client(work: UnitOfWork, wanted: NewClient) -> CreatedClient:
    """Create a client. Raises ValueError for scopes that no client can have, ClientConflictError (409) for too many."""
    if not wanted.scopes or not wanted.scopes <= CLIENT_SCOPES:
        raise ValueError("a client has some of the scopes of a tenant")
    now, connection, tenant = work.now(), work.connection, work.tenant
    await store.lock_clients(connection, tenant)
    if await store.count_clients(connection, tenant) >= MAX_CLIENTS:
        raise ClientConflictError(
            "too_many_clients", f"A tenant has at most {MAX_CLIENTS} API clients. Delete one first."
        )
    client_id = f"{tenant}.{''.join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))}"
    client = ApiClient(
        tenant=tenant,
        id=client_id,
        name=wanted.name,
        scopes=wanted.scopes,
        authentication=wanted.authentication,
        jwks=wanted.jwks,
        version=1,
        created_at=now,
        created_by=work.caller.actor,
        modified_at=now,
        expires_at=wanted.expires_at,
    )
    await store.insert_client(connection, tenant, client)
    secret = None
    if wanted.authentication == "client_secret_basic":
        _, secret = await _add_secret(connection, client, now)
    work.publish([events.client_created(client)])
    return CreatedClient(client, secret)


async def create_client(container: Container, caller: Caller, wanted: NewClient) -> CreatedClient:
    """Create a client. Raises what `add_client` raises."""
    async with unit_of_work(container, caller) as work:
        return await add_client(work, wanted)


async def change_client(container: Container, caller: Caller, client_id: str, changes: dict[str, Any]) -> ApiClient:
    """Change `name`, `scopes`, `expires_at` or `jwks` of a client; revokes its tokens if it loses rights.

    Raises NotFoundError, ClientConflictError for keys of a client with secrets.
    """
    async with unit_of_work(container, caller) as work:
        before = await _lock(work.connection, caller.tenant, client_id)
        if "jwks" in changes and before.authentication != "private_key_jwt":
            raise ClientConflictError(
                "no_keys",
                "jwks cannot be set: the client authenticates with a secret. Create a client with private_key_jwt.",
            )
        after = replace(before, **changes)
        if after == before:
            return before
        after = replace(after, version=before.version + 1, modified_at=work.now())
        await store.update_client(work.connection, caller.tenant, after)
        changed = sorted(name for name in changes if changes[name] != getattr(before, name))
        work.publish([events.client_updated(before, after, changed)])
        if _loses_rights(before, after):
            _revoke(work, client_id)
    return after


async def delete_client(container: Container, caller: Caller, client_id: str) -> None:
    """Delete a client and revoke its tokens. Raises NotFoundError."""
    async with unit_of_work(container, caller) as work:
        client = await _lock(work.connection, caller.tenant, client_id)
        await store.delete_client(work.connection, caller.tenant, client_id)
        work.publish([events.client_deleted(client)])
        _revoke(work, client_id)


async def rotate_secret(
    container: Container, caller: Caller, client_id: str, overlap: timedelta = DEFAULT_OVERLAP
) -> CreatedSecret:
    """Create another secret; the old ones stay valid for the `overlap`. Tokens stay valid.

    Raises NotFoundError, ClientConflictError for a client with keys or with too many valid secrets.
    """
    now = container.clock()
    async with unit_of_work(container, caller) as work:
        client = await _lock(work.connection, caller.tenant, client_id)
        if client.authentication != "client_secret_basic":
            raise ClientConflictError(
                "no_secrets", "The client authenticates with keys and has no secrets. Change its jwks instead."
            )
        await store.delete_ended_secrets(work.connection, caller.tenant, client_id, now - KEPT)
        await store.end_secrets(work.connection, caller.tenant, client_id, now + overlap)
        rows = await store.list_secrets(work.connection, caller.tenant, client_id)
        if sum(row["expires_at"] > now for row in rows) >= MAX_SECRETS:
            raise ClientConflictError(
                "too_many_secrets", f"A client has at most {MAX_SECRETS} valid secrets. Delete one first."
            )
        secret_id, secret = await _add_secret(work.connection, client, now)
        version = await store.count_change(work.connection, caller.tenant, client_id)
        work.publish([events.client_secret_created(replace(client, version=version), secret_id)])
    return CreatedSecret(secret_id, secret, now + overlap)


async def end_secret(container: Container, caller: Caller, client_id: str, secret_id: UUID) -> None:
    """Delete a secret and revoke the client's tokens, which may have been issued for it. Raises NotFoundError."""
    async with unit_of_work(container, caller) as work:
        client = await _lock(work.connection, caller.tenant, client_id)
        if not await store.delete_secret(work.connection, caller.tenant, client_id, secret_id):
            raise NotFoundError
        version = await store.count_change(work.connection, caller.tenant, client_id)
        work.publish([events.client_secret_revoked(replace(client, version=version), secret_id)])
        _revoke(work, client_id)


async def _add_secret(connection: Connection, client: ApiClient, now: datetime) -> tuple[UUID, str]:
    secret, secret_id = make(CLIENT_SECRET, client.tenant), new_id()
    hint = f"{CLIENT_SECRET}{client.tenant}_...{secret[-HINT_LENGTH:]}"
    await store.insert_secret(
        connection, client.tenant, client.id, secret_id, secret_hash=digest(secret), hint=hint, now=now
    )
    return secret_id, secret


def _loses_rights(before: ApiClient, after: ApiClient) -> bool:
    """Whether tokens issued before the change have more rights than the client has after it."""
    ends_sooner = after.expires_at is not None and (before.expires_at is None or after.expires_at < before.expires_at)
    keys = [one["keys"] if one is not None else [] for one in (before.jwks, after.jwks)]
    lost_a_key = any(key not in keys[1] for key in keys[0])
    return ends_sooner or lost_a_key or not before.scopes <= after.scopes


async def _lock(connection: Connection, tenant: str, client_id: str) -> ApiClient:
    client = await store.lock_client(connection, tenant, client_id)
    if client is None:
        raise NotFoundError
    return client


def _revoke(work: UnitOfWork, client_id: str) -> None:
    revoke(work, [revocation(work.tenant, "client", client_id, work.now())])
