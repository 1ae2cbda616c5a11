"""The route of imports, for platform administrators."""

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, tag

from quartet_common.core.errors import BadRequestError, ServiceError
from quartet_common.core.identifiers import TENANT_ID
from quartet_common.web.blueprints.data_export import NDJSON
from quartet_common.web.bodies import ANY_SIZE, takes
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import requires
from quartet_common.web.responses import json_response
from quartet_metrics.config import MetricsConfig
from quartet_metrics.imports.import_models import ImportDocument, ImportQuery
from quartet_metrics.imports.import_usecases import import_part

blueprint = Blueprint("imports", __name__, url_prefix="/metrics/data")


@blueprint.post("/import")
@requires("platform:admin")
@takes(ANY_SIZE)
@tag(["Operations"])
@document_querystring(ImportQuery)
@document_response(ImportDocument)
async def import_() -> Response:
    """Import an export of a tenant's counts, as NDJSON, or a part of its lines; a second time it changes nothing."""
    tenant = request.args.get("tenant", "")
    if TENANT_ID.fullmatch(tenant) is None:
        raise BadRequestError(f"tenant must be the id of a tenant, not {tenant[:64]!r}.", "bad_parameter")
    if (request.content_type or "").partition(";")[0].strip().lower() != NDJSON:
        raise ServiceError(415, "unsupported_media_type", f"The body must be {NDJSON}, as an export is.")
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    changed = await import_part(app_container(MetricsConfig), tenant, body)
    return json_response(msgspec.json.encode(ImportDocument(changed)))
