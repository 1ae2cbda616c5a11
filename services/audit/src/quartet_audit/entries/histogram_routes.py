"""Route of histograms; scope audit:read."""

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, tag

from quartet_audit.config import AuditConfig
from quartet_audit.entries.histogram_models import Histogram, HistogramParameters
from quartet_audit.entries.histogram_parameters import read_histogram
from quartet_audit.entries.histogram_usecases import count_entries
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response

blueprint = Blueprint("histogram", __name__, url_prefix="/audit")


@blueprint.get("/histogram")
@requires("audit:read")
@tag(["audit"])
@document_querystring(HistogramParameters)
@document_response(Histogram)
async def histogram() -> Response:
    """Count the entries of the caller's tenant that match all filters, by time and by one of their members."""
    asked = read_histogram(request.args.to_dict(flat=False))
    return json_response(msgspec.json.encode(await count_entries(app_container(AuditConfig), caller().tenant, asked)))
