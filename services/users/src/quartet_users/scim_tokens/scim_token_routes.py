"""Routes of SCIM tokens: a tenant administrator creates, lists and revokes the tokens of identity providers."""

from dataclasses import asdict
from datetime import datetime, timedelta
from operator import attrgetter

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.principal import Principal
from quartet_common.core.errors import BadRequestError, ForbiddenError, NotFoundError
from quartet_common.core.identifiers import NIL_ID, require_id
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, principal, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.expiry import read_expiry, time_text
from quartet_users.scim_tokens import scim_token_domain, scim_token_usecases
from quartet_users.scim_tokens import scim_token_store as store
from quartet_users.scim_tokens.scim_token_domain import NewScimToken, ScimToken
from quartet_users.scim_tokens.scim_token_models import (
    CreatedScimTokenDocument,
    NewScimTokenBody,
    NewScimTokenDocument,
    ScimTokenDocument,
    ScimTokenListDocument,
    ScimTokenPageQuery,
)

blueprint = Blueprint("scim_tokens", __name__, url_prefix="/users")


@blueprint.post("/scim-tokens")
@requires("tenant:admin")
@tag(["SCIM tokens"])
@document_request(NewScimTokenDocument)
@document_response(CreatedScimTokenDocument, 201)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 409)
@idempotent
async def create() -> Response:
    """Create a bearer token for an identity provider; it is in this response and is not shown again."""
    container = app_container(UsersConfig)
    body = await read_json(NewScimTokenBody)
    wanted = _wanted(body, principal(), container.clock())
    made = await scim_token_usecases.create_scim_token(container, caller(), wanted)
    shown = CreatedScimTokenDocument(**asdict(_document(made.token)), token=made.secret)
    return json_response(
        shown,
        201,
        headers={"Location": f"{container.config.issuer}/users/scim-tokens/{made.token.id}"},
    )


@blueprint.get("/scim-tokens")
@requires("tenant:admin")
@tag(["SCIM tokens"])
@document_querystring(ScimTokenPageQuery)
@document_response(ScimTokenListDocument)
async def list_() -> Response:
    """List the tenant's SCIM tokens, oldest first, in pages; ended ones are listed for 90 days."""
    tenant = caller().tenant
    context = ["users.scim_tokens", tenant]
    after, count = read_page(read_parameters("cursor", "count"), context, NIL_ID)
    async with app_container(UsersConfig).database.connection() as connection:
        found = await store.list_scim_tokens(connection, tenant, after, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return json_response(ScimTokenListDocument([_document(token) for token in found[:count]], onward))


@blueprint.get("/scim-tokens/<token_id>")
@requires("tenant:admin")
@tag(["SCIM tokens"])
@document_response(ScimTokenDocument)
@document_response(ProblemDocument, 404)
async def read(token_id: str) -> Response:
    """Read one of the tenant's SCIM tokens."""
    async with app_container(UsersConfig).database.connection() as connection:
        token = await store.read_scim_token(connection, caller().tenant, require_id(token_id))
    if token is None:
        raise NotFoundError
    return json_response(_document(token))


@blueprint.delete("/scim-tokens/<token_id>")
@requires("tenant:admin")
@tag(["SCIM tokens"])
@document_response(ProblemDocument, 404)
async def revoke(token_id: str) -> Response:
    """Revoke a SCIM token."""
    await scim_token_usecases.revoke_scim_token(app_container(UsersConfig), caller(), require_id(token_id))
    return Response(b"", 204)


def _wanted(body: NewScimTokenBody, who: Principal, now: datetime) -> NewScimToken:
    """The token to create. Raises BadRequestError, and ForbiddenError for scopes that the caller lacks."""
    scopes = scim_token_domain.DEFAULT_SCOPES if body.scopes is None else frozenset(body.scopes)
    if not scopes or not scopes <= scim_token_domain.SCOPES:
        raise BadRequestError(
            f"scopes must be a non-empty list of: {', '.join(sorted(scim_token_domain.SCOPES))}.", "bad_scopes"
        )
    lacking = scopes - who.scopes
    if lacking:
        raise ForbiddenError(" and ".join(sorted(lacking)), challenge=" ".join(sorted(lacking)))
    return NewScimToken(body.name, scopes, _end(body, now), body.client_id)


def _end(body: NewScimTokenBody, now: datetime) -> datetime | None:
    if body.expires_in_days is not None:
        if body.expires_at is not None:
            raise BadRequestError("Use expires_at or expires_in_days, not both.", "bad_expiry")
        return now + timedelta(days=body.expires_in_days)
    return read_expiry(body.expires_at, now)


def _document(token: ScimToken) -> ScimTokenDocument:
    return ScimTokenDocument(
        id=str(token.id),
        name=token.name,
        scopes=sorted(token.scopes),
        client_id=token.client_id,
        hint=token.hint,
        created_at=token.created_at.isoformat(),
        created_by=token.created_by,
        expires_at=time_text(token.expires_at),
        last_used_at=time_text(token.last_used_at),
        revoked_at=time_text(token.revoked_at),
    )
