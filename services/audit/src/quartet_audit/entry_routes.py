"""Routes: the questions that can be asked over HTTP; scope audit:read."""

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, tag

from quartet_audit.config import AuditConfig
from quartet_audit.entry_domain import Entry
from quartet_audit.entry_models import EntryList, Parameters
from quartet_audit.entry_parameters import read_search, write_cursor
from quartet_audit.entry_usecases import find_entries, read_entry
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
    page = await find_entries(app_container(AuditConfig), tenant, read_search(parameters, tenant))
    onward = None if page.next is None else write_cursor(parameters, tenant, page.next)
    # the entries are JSON already and are handed on as they were recorded
    body = b'{"events":[%b],"next":%b}' % (",".join(page.entries).encode(), msgspec.json.encode(onward))
    return json_response(body)


@blueprint.get("/events/<identifier>")
@requires("audit:read")
@tag(["audit"])
@document_response(Entry)
async def event(identifier: str) -> Response:
    """Read one entry of the caller's tenant."""
    return json_response(await read_entry(app_container(AuditConfig), caller().tenant, identifier))
