"""Routes of comparisons: platform administrators compare a tenant, and list how tenants were compared last."""

from operator import attrgetter

import msgspec
from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import requires
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response
from quartet_metrics.config import MetricsConfig
from quartet_metrics.reconciliation.reconciliation_models import (
    ComparedTenantList,
    NewReconciliation,
    ReconciliationDocument,
    TenantListQuery,
)
from quartet_metrics.reconciliation.reconciliation_usecases import Reconciler, list_tenants

blueprint = Blueprint("reconciliation", __name__, url_prefix="/metrics/reconciliation")


@blueprint.get("")
@requires("platform:admin")
@tag(["Operations"])
@document_querystring(TenantListQuery)
@document_response(ComparedTenantList)
async def list_() -> Response:
    """List tenants with counts, when all their gauges were compared last, and how many differed."""
    context = ["metrics.reconciliation"]
    after, count = read_page(read_parameters("cursor", "count"), context, "")
    found = await list_tenants(app_container(MetricsConfig), after, count + 1)
    onward = next_cursor(found, count, context, attrgetter("tenant"))
    return json_response(msgspec.json.encode(ComparedTenantList.of(found[:count], onward)))


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
