"""Routes: the questions that can be asked over HTTP; scope audit:read."""

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, tag

from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_models import Entry, EntryList, Parameters
from quartet_audit.entries.entry_parameters import read_id, read_search, write_cursor
from quartet_audit.entries.entry_usecases import find_entries, read_entry
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response

blueprint = Blueprint("audit", __name__, url_prefix="/audit")


@blueprint.get("/events")
@requires("audit:read")
@tag(["audit"])
@document_querystring(Parameters)
@document_response(EntryList)
async def events() -> Response:
    """List the entries of the caller's tenant that match all filters, newest first, in pages."""
    tenant = caller().tenant
    parameters = request.args.to_dict(flat=False)
    entries, position = await find_entries(app_container(AuditConfig), tenant, read_search(parameters, tenant))
    following = None if position is None else write_cursor(parameters, tenant, position)
    body = b'{"events":[%b],"next":%b}' % (b",".join(entries), msgspec.json.encode(following))
    return json_response(body)


@blueprint.get("/events/<identifier>")
@requires("audit:read")
@tag(["audit"])
@document_response(Entry)
async def event(identifier: str) -> Response:
    """Read one entry of the caller's tenant."""
    return json_response(await read_entry(app_container(AuditConfig), caller().tenant, read_id(identifier)))
