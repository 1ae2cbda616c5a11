"""Routes of comparisons: platform administrators compare a tenant, and list how tenants were compared last."""

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import requires
from quartet_common.web.query_parameters import whole_number
from quartet_common.web.responses import json_response
from quartet_metrics.config import MetricsConfig
from quartet_metrics.reconciliation.reconciliation_models import (
    ComparedTenantList,
    NewReconciliation,
    ReconciliationDocument,
    TenantListQuery,
)
from quartet_metrics.reconciliation.reconciliation_usecases import Reconciler, list_tenants

MAX_TENANTS = 1000

blueprint = Blueprint("reconciliation", __name__, url_prefix="/metrics/reconciliation")


@blueprint.get("")
@requires("platform:admin")
@tag(["Operations"])
@document_querystring(TenantListQuery)
@document_response(ComparedTenantList)
async def list_() -> Response:
    """List tenants with counts, when all their gauges were compared last, and how many differed."""
    limit = whole_number("limit", request.args.get("limit", str(MAX_TENANTS)), 1, MAX_TENANTS)
    found = await list_tenants(app_container(MetricsConfig), request.args.get("after", ""), limit)
    return json_response(msgspec.json.encode(ComparedTenantList.of(found)))


@blueprint.post("")
@requires("platform:admin")
@tag(["Operations"])
@document_request(NewReconciliation)
@document_response(ReconciliationDocument)
async def reconcile() -> Response:
    """Compare the gauges of a tenant with what users, groups and audit have, and correct them if that is asked for."""
    body = await read_json(NewReconciliation)
    result = await dependency(Reconciler).reconcile(body.tenant, repair=body.repair)
    return json_response(msgspec.json.encode(ReconciliationDocument.of(result)))
