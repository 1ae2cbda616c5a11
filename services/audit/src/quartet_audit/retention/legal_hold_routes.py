"""Routes of legal holds: that of the caller's tenant (audit:retention), and those of all tenants (platform:admin)."""

import msgspec
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_audit.config import AuditConfig
from quartet_audit.retention.legal_hold_models import LegalHoldDocument, LegalHoldList, NewLegalHold
from quartet_audit.retention.legal_hold_usecases import list_holds, read_hold, release_hold, set_hold
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response

blueprint = Blueprint("legal_holds", __name__, url_prefix="/audit")


@blueprint.get("/legal-hold")
@requires("audit:retention")
@tag(["audit"])
@document_response(LegalHoldDocument)
async def read() -> Response:
    """Read the legal hold on the log of the caller's tenant."""
    return _answer(LegalHoldDocument.of(await read_hold(app_container(AuditConfig), caller().tenant)))


@blueprint.put("/legal-hold")
@requires("audit:retention")
@tag(["audit"])
@document_request(NewLegalHold)
@document_response(LegalHoldDocument)
async def set_() -> Response:
    """Set a legal hold: until it is released, nothing of the log of the caller's tenant is removed."""
    body = await read_json(NewLegalHold)
    return _answer(LegalHoldDocument.of(await set_hold(app_container(AuditConfig), caller(), body.reason)))


@blueprint.delete("/legal-hold")
@requires("audit:retention")
@tag(["audit"])
async def release() -> Response:
    """Release the legal hold on the log of the caller's tenant: retention and erasures go on."""
    await release_hold(app_container(AuditConfig), caller(), caller().tenant)
    return Response(b"", 204)


@blueprint.get("/legal-holds")
@requires("platform:admin")
@tag(["Operations"])
@document_response(LegalHoldList)
async def list_() -> Response:
    """List the legal holds of all tenants, also of deleted ones."""
    holds = await list_holds(app_container(AuditConfig))
    return _answer(LegalHoldList([LegalHoldDocument.of(hold) for hold in holds]))


@blueprint.delete("/legal-holds/<tenant>")
@requires("platform:admin")
@tag(["Operations"])
async def release_of(tenant: str) -> Response:
    """Release the legal hold of a tenant. If the tenant was deleted, the entries that the hold has kept are removed."""
    await release_hold(app_container(AuditConfig), caller(), tenant)
    return Response(b"", 204)


def _answer(document: LegalHoldDocument | LegalHoldList) -> Response:
    return json_response(msgspec.json.encode(document))
