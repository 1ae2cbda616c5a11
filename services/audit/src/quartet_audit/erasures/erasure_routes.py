"""Routes of erasures: requests to erase a person from the log of the caller's tenant; scope audit:erase."""

import msgspec
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_audit.config import AuditConfig
from quartet_audit.erasures.erasure_models import AcceptedErasure, ErasureState, NewErasure
from quartet_audit.erasures.erasure_usecases import read_erasure, request_erasure
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.responses import json_response

blueprint = Blueprint("erasures", __name__, url_prefix="/audit/erasures")


@blueprint.post("")
@requires("audit:erase")
@tag(["audit"])
@document_request(NewErasure)
@document_response(AcceptedErasure, 202)
@idempotent
async def create() -> Response:
    """Erase a person: the personal parts of all entries so far that are by, of or about the user."""
    container = app_container(AuditConfig)
    body = await read_json(NewErasure)
    identifier = await request_erasure(container, caller(), body.user)
    location = f"{container.config.issuer}/audit/erasures/{identifier}"
    return json_response(msgspec.json.encode(AcceptedErasure(identifier)), 202, headers={"Location": location})


@blueprint.get("/<erasure_id>")
@requires("audit:erase")
@tag(["audit"])
@document_response(ErasureState)
async def read(erasure_id: str) -> Response:
    """Read how far an erasure is."""
    found = await read_erasure(app_container(AuditConfig), caller().tenant, erasure_id)
    return json_response(msgspec.json.encode(ErasureState.of(found)))
