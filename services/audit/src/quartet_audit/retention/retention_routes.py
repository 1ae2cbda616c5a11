"""Routes of retention: how long the entries of the caller's tenant are kept; scope audit:retention."""

import msgspec
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_audit.config import AuditConfig
from quartet_audit.retention.retention_models import NewRetention, RetentionDocument
from quartet_audit.retention.retention_usecases import read_retention, set_retention
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response

blueprint = Blueprint("retention", __name__, url_prefix="/audit/retention")


@blueprint.get("")
@requires("audit:retention")
@tag(["audit"])
@document_response(RetentionDocument)
async def read() -> Response:
    """Read after how many days entries expire, and what has expired."""
    state = await read_retention(app_container(AuditConfig), caller().tenant)
    return json_response(msgspec.json.encode(RetentionDocument.of(state)))


@blueprint.put("")
@requires("audit:retention")
@tag(["audit"])
@document_request(NewRetention)
@document_response(RetentionDocument)
async def change() -> Response:
    """Set after how many days entries expire. Older ones are removed within an hour, and cannot be restored."""
    body = await read_json(NewRetention)
    state = await set_retention(app_container(AuditConfig), caller(), body.days)
    return json_response(msgspec.json.encode(RetentionDocument.of(state)))
