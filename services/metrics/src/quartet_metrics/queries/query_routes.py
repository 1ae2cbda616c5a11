"""Routes of metrics: queries and the catalogue; scope metrics:read."""

import msgspec
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, tag

from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response
from quartet_metrics.config import MetricsConfig
from quartet_metrics.queries.query_models import Answer, Catalog, Parameters, catalog
from quartet_metrics.queries.query_parameters import read_query
from quartet_metrics.queries.query_usecases import answer_query, kept_at

blueprint = Blueprint("metrics", __name__, url_prefix="/metrics")


@blueprint.get("/query")
@requires("metrics:read")
@tag(["metrics"])
@document_querystring(Parameters)
@document_response(Answer)
async def query() -> Response:
    """Return a metric of the caller's tenant as time series without gaps."""
    container = app_container(MetricsConfig)
    now = container.clock()
    asked = read_query(request.args.to_dict(flat=False), now, kept_at(container.config, now))
    return json_response(msgspec.json.encode(await answer_query(container, caller().tenant, asked)))


@blueprint.get("/catalog")
@requires("metrics:read")
@tag(["metrics"])
@document_response(Catalog)
async def known() -> Response:
    """List the metrics, labels and steps that `/metrics/query` supports."""
    return json_response(msgspec.json.encode(catalog()))
