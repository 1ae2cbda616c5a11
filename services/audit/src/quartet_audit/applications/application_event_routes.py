"""Routes for events of applications; scope audit:write."""

import msgspec
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_audit.applications.application_event_models import CloudEvent, Receipts
from quartet_audit.applications.application_event_parameters import BATCH, EVENT, read_events
from quartet_audit.applications.application_event_usecases import accept_events
from quartet_audit.config import AuditConfig
from quartet_common.web.bodies import ANY_SIZE, takes
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import Dialect
from quartet_common.web.responses import json_response

CLOUD_EVENTS = Dialect(prefix="/audit/events", taken=(EVENT, BATCH))

blueprint = Blueprint("application_events", __name__, url_prefix="/audit")


@blueprint.post("/events")
@requires("audit:write")
@takes(ANY_SIZE)
@tag(["audit"])
@document_request(CloudEvent)
@document_response(Receipts, 202)
@idempotent
async def receive() -> Response:
    """Record events of an application: one CloudEvent or a batch of up to 1,000; answers once they are stored."""
    container = app_container(AuditConfig)
    receipts = await accept_events(container, caller(), await read_events(container.clock()))
    return json_response(msgspec.json.encode(receipts), 202)
