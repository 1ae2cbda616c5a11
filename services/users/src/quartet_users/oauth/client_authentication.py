"""Client authentication at the OAuth endpoints (RFC 6749 section 2.3, RFC 7523)."""

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from quartet_common.auth.opaque_tokens import digest
from quartet_common.auth.principal import ANY_TENANT
from quartet_common.core.errors import UnauthorizedError
from quartet_common.core.identifiers import TENANT_ID
from quartet_common.runtime.container import AppContainer
from quartet_serving.percent import unquote_plus
from quartet_users.api_clients import api_client_store as store
from quartet_users.api_clients import client_assertions
from quartet_users.api_clients.api_client_usecases import LAST_USE_INTERVAL
from quartet_users.api_clients.authenticated_client import FIRST_PARTY, AuthenticatedClient
from quartet_users.config import UsersConfig
from quartet_users.errors import InvalidClientError, OAuthError
from quartet_users.lockout.lockout import Lockout
from quartet_users.oauth.oauth_parameters import Form

Container = AppContainer[UsersConfig]

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
"""The methods of client authentication; `none` is for FIRST_PARTY."""
MAX_ID = 128
MAX_HEADER = 8192
"""The maximum length of an Authorization header in characters."""
NO_HASH = bytes(32)
"""Compared for a client without secrets, so that it takes as long."""


@dataclass(frozen=True)
class _Proof:
    """The credentials in a request: a client id with a secret, an assertion, or neither."""

    client_id: str
    secret: str | None = None
    assertion: str | None = None


async def authenticate(
    container: Container, lockout: Lockout, form: Form, authorization: str | None, address: str | None
) -> AuthenticatedClient:
    """The client of a request from `address` with `form` and the header `authorization`.

    Raises InvalidClientError (401), the same for every failure, OAuthError (400) for more than one method in a request,
    and LimitedError (429) after too many wrong secrets of the client.
    """
    proof, at = _read(form, authorization), container.clock()
    if proof.assertion is not None:
        return await _by_assertion(container, proof.client_id, proof.assertion, at)
    if proof.secret is None:
        if proof.client_id in FIRST_PARTY:
            return AuthenticatedClient(proof.client_id, frozenset({ANY_TENANT}), frozenset(), at, is_public=True)
        raise InvalidClientError("no_proof")
    return await _by_any_secret(container, lockout, proof.client_id, proof.secret, address)


async def _by_any_secret(
    container: Container, lockout: Lockout, client_id: str, secret: str, address: str | None
) -> AuthenticatedClient:
    tenant = client_id.rpartition(".")[0]
    attempt = await lockout.start_attempt(tenant, client_id, address)
    try:
        at = container.clock()
        found = _bootstrap(container, client_id, secret, at) or await _by_secret(container, client_id, secret, at)
    except InvalidClientError:
        await lockout.failed(attempt)
        raise
    except Exception:
        await lockout.released(attempt)
        raise
    await lockout.succeeded(attempt)
    return found


def _read(form: Form, authorization: str | None) -> _Proof:
    secret, assertion = form.get("client_secret"), form.get("client_assertion")
    if sum(one is not None for one in (authorization, secret, assertion)) > 1:
        raise OAuthError("invalid_request", "Use one method of client authentication: header, form or assertion.")
    if authorization is not None:
        found = _read_basic(authorization)
        if form.get("client_id", found.client_id) != found.client_id:
            raise OAuthError("invalid_request", "The Authorization header and client_id name different clients.")
        return found
    if assertion is not None:
        return _read_assertion(form, assertion)
    return _Proof(form.get("client_id", ""), secret)


def _read_basic(authorization: str) -> _Proof:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > MAX_HEADER:
        raise InvalidClientError("malformed")
    try:
        sent = base64.b64decode(encoded.strip(), validate=True)
        sent.decode()
    except ValueError:  # includes binascii.Error and UnicodeDecodeError
        raise InvalidClientError("malformed") from None
    client_id, colon, secret = sent.partition(b":")
    if not colon:
        raise InvalidClientError("malformed")
    return _Proof(unquote_plus(client_id), unquote_plus(secret))


def _read_assertion(form: Form, assertion: str) -> _Proof:
    if form.get("client_assertion_type") != client_assertions.TYPE:
        raise OAuthError("invalid_request", f"client_assertion_type must be {client_assertions.TYPE}.")
    try:
        client_id = client_assertions.claimed_client(assertion)
    except UnauthorizedError as error:
        raise InvalidClientError(error.reason) from None
    if form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "The assertion and client_id name different clients.")
    return _Proof(client_id, assertion=assertion)


def _bootstrap(container: Container, client_id: str, secret: str, at: datetime) -> AuthenticatedClient | None:
    """The client of the configuration with an id and secret, in constant time; None for no such client."""
    found, sent = None, digest(secret)
    for client in container.config.bootstrap_clients.clients:
        same = hmac.compare_digest(digest(client.client_secret.get_secret_value()), sent)
        if hmac.compare_digest(client.client_id.encode(), client_id.encode()) and same:
            found = client
    if found is None:
        return None
    return AuthenticatedClient(found.client_id, found.tenants, found.scopes, at, is_bootstrap=True)


async def _by_secret(container: Container, client_id: str, secret: str, at: datetime) -> AuthenticatedClient:
    tenant, row = await _find(container, client_id)
    sent = digest(secret)
    secrets = row["secrets"] if row is not None else []
    found: UUID | None = None
    for secret_id, secret_hash, expires_at in secrets or [(None, NO_HASH, None)]:
        same = hmac.compare_digest(secret_hash, sent)
        if same and (expires_at is None or expires_at > at):
            found = secret_id
        elif same:
            raise InvalidClientError("expired_secret")
    if row is None:
        raise InvalidClientError("unknown_client")
    if found is None:
        raise InvalidClientError("wrong_secret")
    return await _known(container, tenant, client_id, row, at, found)


async def _by_assertion(container: Container, client_id: str, text: str, at: datetime) -> AuthenticatedClient:
    tenant, row = await _find(container, client_id)
    if row is None or row["jwks"] is None:
        raise InvalidClientError("unknown_client")
    issuer = container.config.issuer
    audiences = frozenset({issuer, f"{issuer}/oauth2/token"})
    try:
        said = client_assertions.verify(text, client_id, orjson.loads(row["jwks"]), audiences, at)
    except UnauthorizedError as error:
        raise InvalidClientError(error.reason) from None
    async with container.database.transaction() as connection:
        if not await store.use_assertion(connection, tenant, client_id, said.id, said.expires_at, at):
            raise InvalidClientError("replayed_assertion")
    return await _known(container, tenant, client_id, row, at, None)


async def _find(container: Container, client_id: str) -> tuple[str, asyncpg.Record | None]:
    """The tenant in a client id, and the client; no query for an id that no client can have."""
    tenant = client_id.rpartition(".")[0]
    if len(client_id) > MAX_ID or not client_id.isascii() or "\0" in client_id or TENANT_ID.fullmatch(tenant) is None:
        return tenant, None
    async with container.database.transaction() as connection:
        return tenant, await store.find_for_authentication(connection, tenant, client_id)


async def _known(
    container: Container, tenant: str, client_id: str, row: asyncpg.Record, at: datetime, secret_id: UUID | None
) -> AuthenticatedClient:
    if row["expires_at"] is not None and row["expires_at"] <= at:
        raise InvalidClientError("expired_client")
    async with container.database.connection() as connection:
        await store.note_use(connection, tenant, client_id, secret_id, at, LAST_USE_INTERVAL)
    scopes = frozenset(row["scopes"])
    return AuthenticatedClient(
        client_id, frozenset({tenant}), scopes, at, expires_at=row["expires_at"], name=row["name"]
    )
