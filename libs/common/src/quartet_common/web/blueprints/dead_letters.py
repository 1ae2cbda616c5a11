"""Routes of dead letters: list, count, read and discard them, and redrive a fixed selection of them."""

from collections.abc import Mapping
from operator import attrgetter

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag_blueprint

from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import BadRequestError, NotFoundError
from quartet_common.core.identifiers import MAX_ID, NIL_ID, require_id
from quartet_common.messaging import dead_letter_store, redrive_store
from quartet_common.messaging.dead_letter_store import Selection
from quartet_common.runtime import dead_letter_usecases
from quartet_common.runtime.container import AppContainer
from quartet_common.web import query_parameters
from quartet_common.web.blueprints.dead_letter_models import (
    Chosen,
    CountsDocument,
    DeadLetterDocument,
    DeadLetterListDocument,
    DeadLetterPageQuery,
    DeadLetterQuery,
    NewDiscard,
    NewRedrive,
    RedriveDocument,
    RedriveListDocument,
    RedrivePageQuery,
    WholeDeadLetterDocument,
    full_type,
    selection_of,
)
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, principal, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response

EVERYTHING = "platform:admin"
"""The scope that lets an operator see the dead letters of all tenants."""
FILTERS = ("type", "tenant", "failure", "since", "until")

blueprint = Blueprint("dead_letters", __name__)
"""For the scope events:manage: dead letters and redrives of the caller's tenant; with the scope platform:admin too,
those of all tenants, and what belongs to none because it cannot be read.
"""
tag_blueprint(blueprint, ["Operations"])


@blueprint.get("/dead-letters")
@requires("events:manage")
@document_querystring(DeadLetterPageQuery)
@document_response(DeadLetterListDocument)
async def list_() -> Response:
    """List dead letters with the reason of each, oldest first, in pages. Reading changes nothing."""
    given, tenant = read_parameters(*FILTERS, "cursor", "count"), visible_tenant()
    context = ["dead-letters", tenant or "", *(given.get(name, "") for name in FILTERS)]
    after, count = read_page(given, context, NIL_ID)
    async with _container().database.connection() as connection:
        found = await dead_letter_store.list_letters(connection, tenant, _selection(given), after, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return _json(DeadLetterListDocument([DeadLetterDocument.of(one) for one in found[:count]], onward))


@blueprint.get("/dead-letters/counts")
@requires("events:manage")
@document_querystring(DeadLetterQuery)
@document_response(CountsDocument)
async def counts() -> Response:
    """Count dead letters by type and failure, the beginning of the reason."""
    selection = _selection(read_parameters(*FILTERS))
    async with _container().database.connection() as connection:
        return _json(CountsDocument.of(await dead_letter_store.count(connection, visible_tenant(), selection)))


@blueprint.get("/dead-letters/<letter_id>")
@requires("events:manage")
@document_response(WholeDeadLetterDocument)
@document_response(ProblemDocument, 404)
async def read(letter_id: str) -> Response:
    """Read one dead letter with its payload."""
    async with _container().database.connection() as connection:
        found = await dead_letter_store.read_letter(connection, visible_tenant(), require_id(letter_id))
    if found is None:
        raise NotFoundError
    return _json(WholeDeadLetterDocument.whole(*found))


@blueprint.post("/dead-letters/discard")
@requires("events:manage")
@document_request(NewDiscard)
@document_response(CountsDocument)
@document_response(ProblemDocument, 409)
@document_response(ProblemDocument, 422)
async def discard() -> Response:
    """Delete dead letters, at most 200, and count them. The audit log keeps a copy of each, with the reason."""
    body = await read_json(NewDiscard)
    selection, tenant = _chosen(body), visible_tenant()
    if body.dry_run:
        return await _preview(tenant, selection)
    found = await dead_letter_usecases.discard(_container(), caller(), tenant, selection, body.reason, body.expected)
    return _json(CountsDocument.of(found))


@blueprint.post("/redrives")
@requires("events:manage")
@document_request(NewRedrive)
@document_response(CountsDocument)
@document_response(RedriveDocument, 202)
@document_response(ProblemDocument, 409)
@document_response(ProblemDocument, 422)
@idempotent
async def redrive() -> Response:
    """Select dead letters: the worker sends exactly these back into their queue. With dry_run they are only counted."""
    body = await read_json(NewRedrive)
    selection, tenant = _chosen(body), visible_tenant()
    if body.dry_run:
        return await _preview(tenant, selection)
    container = _container()
    made = await dead_letter_usecases.create_redrive(container, caller(), tenant, selection, body.rate, body.expected)
    headers = {"Location": f"{request.path}/{made.id}"}
    return json_response(msgspec.json.encode(RedriveDocument.of(made)), 202, headers=headers)


@blueprint.get("/redrives")
@requires("events:manage")
@document_querystring(RedrivePageQuery)
@document_response(RedriveListDocument)
async def redrives() -> Response:
    """List redrives, newest first, in pages. They are kept for 30 days."""
    tenant = visible_tenant()
    context = ["redrives", tenant or ""]
    before, count = read_page(read_parameters("cursor", "count"), context, MAX_ID)
    async with _container().database.connection() as connection:
        found = await redrive_store.list_redrives(connection, tenant, before, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return _json(RedriveListDocument([RedriveDocument.of(one) for one in found[:count]], onward))


@blueprint.get("/redrives/<redrive_id>")
@requires("events:manage")
@document_response(RedriveDocument)
@document_response(ProblemDocument, 404)
async def read_redrive(redrive_id: str) -> Response:
    """Read a redrive with its progress."""
    async with _container().database.connection() as connection:
        found = await redrive_store.read_redrive(connection, visible_tenant(), require_id(redrive_id))
    if found is None:
        raise NotFoundError
    return _json(RedriveDocument.of(found))


@blueprint.post("/redrives/<redrive_id>/cancel")
@requires("events:manage")
@document_response(RedriveDocument)
@document_response(ProblemDocument, 404)
async def cancel_redrive(redrive_id: str) -> Response:
    """Send no more of a redrive. What was not sent stays a dead letter."""
    found = await dead_letter_usecases.cancel_redrive(_container(), caller(), visible_tenant(), require_id(redrive_id))
    return _json(RedriveDocument.of(found))


def visible_tenant() -> str | None:
    """The tenant whose dead letters the caller sees; None for those of all."""
    who = principal()
    return None if EVERYTHING in who.scopes else who.tenant


async def _preview(tenant: str | None, selection: Selection) -> Response:
    return _json(CountsDocument.of(await dead_letter_usecases.preview(_container(), tenant, selection)))


def _chosen(body: Chosen) -> Selection:
    """What a body chooses. Raises BadRequestError (400)."""
    if (body.ids is None) == (body.filter is None):
        raise BadRequestError('Give either "ids" or "filter"; {"filter": {}} stands for all dead letters.', "bad_body")
    return selection_of(body)


def _selection(given: Mapping[str, str]) -> Selection:
    """The filters of a query. Raises BadParameterError (400)."""
    since, until = (query_parameters.time(name, given[name]) if name in given else None for name in ("since", "until"))
    return Selection(given.get("tenant"), full_type(given.get("type")), given.get("failure"), since, until)


def _container() -> AppContainer[ServiceConfig]:
    return app_container(ServiceConfig)


def _json(document: msgspec.Struct) -> Response:
    return json_response(msgspec.json.encode(document))
