"""Routes of origins: a tenant allows pages of its applications to read responses (CORS)."""

from operator import attrgetter

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import NIL_ID, require_id
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.origins import origin_domain, origin_usecases
from quartet_users.origins import origin_store as store
from quartet_users.origins.origin_domain import Origin
from quartet_users.origins.origin_models import (
    NewOriginBody,
    NewOriginDocument,
    OriginDocument,
    OriginListDocument,
    OriginPageQuery,
)

blueprint = Blueprint("origins", __name__, url_prefix="/users")


@blueprint.post("/origins")
@requires("origins:manage")
@tag(["Origins"])
@document_request(NewOriginDocument)
@document_response(OriginDocument, 201)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 409)
@idempotent
async def add() -> Response:
    """Allow pages of an origin to read responses; it applies in every service within 5 seconds."""
    container = app_container(UsersConfig)
    origin = origin_domain.normalise((await read_json(NewOriginBody)).origin)
    added = await origin_usecases.add_origin(container, caller(), origin)
    headers = {"Location": f"{container.config.issuer}/users/origins/{added.id}"}
    return json_response(_document(added), 201, headers=headers)


@blueprint.get("/origins")
@requires("origins:manage")
@tag(["Origins"])
@document_querystring(OriginPageQuery)
@document_response(OriginListDocument)
async def list_() -> Response:
    """List the tenant's origins, oldest first, in pages."""
    tenant = caller().tenant
    context = ["users.origins", tenant]
    after, count = read_page(read_parameters("cursor", "count"), context, NIL_ID)
    async with app_container(UsersConfig).database.connection() as connection:
        found = await store.list_origins(connection, tenant, after, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return json_response(OriginListDocument([_document(one) for one in found[:count]], onward))


@blueprint.get("/origins/<origin_id>")
@requires("origins:manage")
@tag(["Origins"])
@document_response(OriginDocument)
@document_response(ProblemDocument, 404)
async def read(origin_id: str) -> Response:
    """Read one of the tenant's origins."""
    async with app_container(UsersConfig).database.connection() as connection:
        found = await store.read_origin(connection, caller().tenant, require_id(origin_id))
    if found is None:
        raise NotFoundError
    return json_response(_document(found))


@blueprint.delete("/origins/<origin_id>")
@requires("origins:manage")
@tag(["Origins"])
@document_response(ProblemDocument, 404)
async def remove(origin_id: str) -> Response:
    """Remove an origin; it applies in every service within 5 seconds."""
    await origin_usecases.remove_origin(app_container(UsersConfig), caller(), require_id(origin_id))
    return Response(b"", 204)


def _document(origin: Origin) -> OriginDocument:
    return OriginDocument(str(origin.id), origin.origin, origin.created_at.isoformat(), origin.created_by)
