"""The export of the log: as that of the other services, but for a scope of its own, and recorded in the log."""

from functools import partial

from quart import Blueprint, Response
from quart_schema import tag_blueprint

from quartet_audit.config import AuditConfig
from quartet_audit.exports.export_usecases import record_export
from quartet_common.web.blueprints.data_export import NDJSON, Exports
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import answers

blueprint = Blueprint("data", __name__, url_prefix="/audit/data")
tag_blueprint(blueprint, ["Operations"])


@blueprint.get("/export")
@requires("audit:export")
@answers(NDJSON)
async def export() -> Response:
    """Export everything that the service stores for the caller's tenant, as a stream."""
    record = partial(record_export, app_container(AuditConfig), caller())
    return await dependency(Exports).response(caller().tenant, record)
