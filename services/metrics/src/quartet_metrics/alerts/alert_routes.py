"""Routes of alerts: the alerts of the caller's tenant and its rules; scopes metrics:read and alerts:manage."""

import msgspec
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.responses import json_response
from quartet_metrics.alerts import rule_usecases
from quartet_metrics.alerts.rule_domain import Definition
from quartet_metrics.alerts.rule_models import RULE_EXAMPLE, AlertList, RuleList, RuleState, Trial
from quartet_metrics.config import MetricsConfig
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries

PREFIX = "/metrics/alerts"
EXAMPLES = {
    f"POST {PREFIX}/rules": RULE_EXAMPLE,
    f"POST {PREFIX}/rules/dry-run": RULE_EXAMPLE,
    f"PUT {PREFIX}/rules/{{rule_id}}": RULE_EXAMPLE,
}
PARAMETERS = {"rule_id": "The id of an alert rule."}

blueprint = Blueprint("alerts", __name__, url_prefix=PREFIX)


@blueprint.get("")
@requires("metrics:read")
@tag(["alerts"])
@document_response(AlertList)
async def list_() -> Response:
    """List the pending and firing alerts of the caller's tenant."""
    found = await rule_usecases.list_alerts(app_container(MetricsConfig), caller().tenant)
    return json_response(msgspec.json.encode(AlertList(found)))


@blueprint.post("/rules/dry-run")
@requires("metrics:read")
@tag(["alerts"])
@document_request(Definition)
@document_response(Trial)
@document_response(ProblemDocument, 422)
async def dry_run() -> Response:
    """Evaluate a rule now without storing it: the alerts that it would have."""
    container, queries = app_container(MetricsConfig), dependency(PrometheusQueries)
    wanted = await read_json(Definition)
    found = await rule_usecases.try_rule(container, queries, caller().tenant, wanted)
    return json_response(msgspec.json.encode(Trial.of(wanted, found)))


@blueprint.post("/rules")
@requires("alerts:manage")
@tag(["alerts"])
@document_request(Definition)
@document_response(RuleState, 201)
@document_response(ProblemDocument, 409)
@document_response(ProblemDocument, 422)
@idempotent
async def create() -> Response:
    """Create an alert rule, if the engine can evaluate it."""
    container, queries = app_container(MetricsConfig), dependency(PrometheusQueries)
    rule = await rule_usecases.create_rule(container, queries, caller(), await read_json(Definition))
    location = f"{container.config.issuer}{PREFIX}/rules/{rule.id}"
    return json_response(msgspec.json.encode(rule), 201, headers={"Location": location})


@blueprint.get("/rules")
@requires("metrics:read")
@tag(["alerts"])
@document_response(RuleList)
async def list_rules() -> Response:
    """List the alert rules of the caller's tenant with their states."""
    found = await rule_usecases.list_rules(app_container(MetricsConfig), caller().tenant)
    return json_response(msgspec.json.encode(RuleList(found)))


@blueprint.get("/rules/<rule_id>")
@requires("metrics:read")
@tag(["alerts"])
@document_response(RuleState)
async def read(rule_id: str) -> Response:
    """Read an alert rule with its state."""
    found = await rule_usecases.read_rule(app_container(MetricsConfig), caller().tenant, rule_id)
    return json_response(msgspec.json.encode(found))


@blueprint.put("/rules/<rule_id>")
@requires("alerts:manage")
@tag(["alerts"])
@document_request(Definition)
@document_response(RuleState)
@document_response(ProblemDocument, 409)
@document_response(ProblemDocument, 422)
async def replace(rule_id: str) -> Response:
    """Replace an alert rule: its firing alerts are resolved, and it begins anew."""
    container, queries = app_container(MetricsConfig), dependency(PrometheusQueries)
    rule = await rule_usecases.replace_rule(container, queries, caller(), rule_id, await read_json(Definition))
    return json_response(msgspec.json.encode(rule))


@blueprint.delete("/rules/<rule_id>")
@requires("alerts:manage")
@tag(["alerts"])
async def delete(rule_id: str) -> Response:
    """Delete an alert rule: its firing alerts are resolved."""
    await rule_usecases.delete_rule(app_container(MetricsConfig), caller(), rule_id)
    return Response(b"", 204)
