"""Routes of API clients: a tenant administrator creates, lists, changes and deletes them, and rotates their secrets."""

from dataclasses import asdict
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.errors import BadRequestError, NotFoundError
from quartet_common.core.identifiers import require_id
from quartet_common.web.bodies import read_json, takes
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response
from quartet_users.api_clients import api_client_store as store
from quartet_users.api_clients import api_client_usecases, client_assertions
from quartet_users.api_clients.api_client_domain import ApiClient, NewClient
from quartet_users.api_clients.api_client_models import (
    ChangedClientBody,
    ChangedClientDocument,
    ClientDocument,
    ClientListDocument,
    ClientPageQuery,
    CreatedClientDocument,
    CreatedSecretDocument,
    NewClientBody,
    NewClientDocument,
    NewSecretBody,
    NewSecretDocument,
    SecretDocument,
    WholeClientDocument,
)
from quartet_users.config import UsersConfig
from quartet_users.expiry import read_expiry, time_text

MAX_CLIENT_BYTES = 64 * 1024
"""Bytes of a body with ten public keys and their certificates."""

blueprint = Blueprint("api_clients", __name__, url_prefix="/users")


@blueprint.post("/clients")
@requires("tenant:admin")
@takes(MAX_CLIENT_BYTES)
@tag(["API clients"])
@document_request(NewClientDocument)
@document_response(CreatedClientDocument, 201)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 409)
@idempotent
async def create() -> Response:
    """Create an API client; its secret is in this response and is not shown again."""
    container = app_container(UsersConfig)
    wanted = _wanted(await read_json(NewClientBody), container.clock())
    made = await api_client_usecases.create_client(container, caller(), wanted)
    shown = CreatedClientDocument(**asdict(_document(made.client)), client_secret=made.secret)
    return json_response(shown, 201, headers={"Location": f"{container.config.issuer}/users/clients/{made.client.id}"})


@blueprint.get("/clients")
@requires("tenant:admin")
@tag(["API clients"])
@document_querystring(ClientPageQuery)
@document_response(ClientListDocument)
async def list_() -> Response:
    """List the tenant's API clients by id, in pages."""
    tenant = caller().tenant
    context = ["users.clients", tenant]
    after, count = read_page(read_parameters("cursor", "count"), context, "")
    async with app_container(UsersConfig).database.connection() as connection:
        found = await store.list_clients(connection, tenant, after, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return json_response(ClientListDocument([_document(client) for client in found[:count]], onward))


@blueprint.get("/clients/<client_id>")
@requires("tenant:admin")
@tag(["API clients"])
@document_response(WholeClientDocument)
@document_response(ProblemDocument, 404)
async def read(client_id: str) -> Response:
    """Read an API client with the ids and hints of its secrets."""
    tenant = caller().tenant
    async with app_container(UsersConfig).database.snapshot() as connection:
        client = await store.read_client(connection, tenant, _id(client_id))
        if client is None:
            raise NotFoundError
        secrets = await store.list_secrets(connection, tenant, client_id)
    shown = asdict(_document(client))
    return json_response(WholeClientDocument(**shown, secrets=[_secret(**one) for one in secrets]))


@blueprint.patch("/clients/<client_id>")
@requires("tenant:admin")
@takes(MAX_CLIENT_BYTES)
@tag(["API clients"])
@document_request(ChangedClientDocument)
@document_response(ClientDocument)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def change(client_id: str) -> Response:
    """Change name, scopes, expiry or keys of an API client; its tokens are revoked if it loses any."""
    container = app_container(UsersConfig)
    changes = _changes(await read_json(ChangedClientBody), container.clock())
    return json_response(
        _document(await api_client_usecases.change_client(container, caller(), _id(client_id), changes))
    )


@blueprint.delete("/clients/<client_id>")
@requires("tenant:admin")
@tag(["API clients"])
@document_response(ProblemDocument, 404)
async def delete(client_id: str) -> Response:
    """Delete an API client; its tokens are revoked."""
    await api_client_usecases.delete_client(app_container(UsersConfig), caller(), _id(client_id))
    return Response(b"", 204)


@blueprint.post("/clients/<client_id>/secrets")
@requires("tenant:admin")
@tag(["API clients"])
@document_request(NewSecretDocument)
@document_response(CreatedSecretDocument, 201)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
@idempotent
async def rotate(client_id: str) -> Response:
    """Create another secret; earlier ones stay valid for the overlap (24 hours by default)."""
    overlap = timedelta(seconds=(await read_json(NewSecretBody)).overlap_seconds)
    made = await api_client_usecases.rotate_secret(app_container(UsersConfig), caller(), _id(client_id), overlap)
    return json_response(CreatedSecretDocument(str(made.id), made.secret, made.old_end_at.isoformat()), 201)


@blueprint.delete("/clients/<client_id>/secrets/<secret_id>")
@requires("tenant:admin")
@tag(["API clients"])
@document_response(ProblemDocument, 404)
async def end_secret(client_id: str, secret_id: str) -> Response:
    """Delete a secret at once; the client's tokens are revoked."""
    known = require_id(secret_id)
    await api_client_usecases.end_secret(app_container(UsersConfig), caller(), _id(client_id), known)
    return Response(b"", 204)


def _wanted(body: NewClientBody, now: datetime) -> NewClient:
    """The client to create. Raises BadRequestError (400)."""
    keys = client_assertions.read_keys(body.jwks) if body.authentication == "private_key_jwt" else None
    if keys is None and body.jwks is not None:
        raise BadRequestError("jwks is only allowed with authentication private_key_jwt.", "bad_jwks")
    end = read_expiry(body.expires_at, now)
    return NewClient(body.name, _scopes(body.scopes), body.authentication, keys, end)


def _changes(body: ChangedClientBody, now: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if body.name is not msgspec.UNSET:
        changes["name"] = body.name
    if body.scopes is not msgspec.UNSET:
        changes["scopes"] = _scopes(body.scopes)
    if body.jwks is not msgspec.UNSET:
        changes["jwks"] = client_assertions.read_keys(body.jwks)
    if body.expires_at is not msgspec.UNSET:
        changes["expires_at"] = read_expiry(body.expires_at, now)
    return changes


def _scopes(sent: list[str]) -> frozenset[str]:
    """The scopes of a client. A tenant administrator can give all scopes of the tenant, as with roles."""
    known = api_client_usecases.CLIENT_SCOPES
    if not sent or not known.issuperset(sent):
        raise BadRequestError(f"scopes must be a non-empty list of: {', '.join(sorted(known))}.", "bad_scopes")
    return frozenset(sent)


def _id(text: str) -> str:
    if "\0" in text:
        raise NotFoundError
    return text


def _document(client: ApiClient) -> ClientDocument:
    return ClientDocument(
        client_id=client.id,
        name=client.name,
        scopes=sorted(client.scopes),
        authentication=client.authentication,
        jwks=client.jwks,
        version=client.version,
        created_at=client.created_at.isoformat(),
        created_by=client.created_by,
        modified_at=client.modified_at.isoformat(),
        expires_at=time_text(client.expires_at),
        last_used_at=time_text(client.last_used_at),
    )


def _secret(
    id: UUID,  # noqa: A002  # the column's name
    hint: str,
    created_at: datetime,
    expires_at: datetime | None,
    last_used_at: datetime | None,
) -> SecretDocument:
    return SecretDocument(str(id), hint, created_at.isoformat(), time_text(expires_at), time_text(last_used_at))
