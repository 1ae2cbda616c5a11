"""Routes of the Prometheus HTTP API; scope metrics:read, by bearer token or HTTP Basic."""

from collections.abc import Mapping
from typing import Any

import orjson
from quart import Blueprint, Response, request
from quart_schema import DataSource, document_querystring, document_request, document_response, tag

from quartet_common.core.errors import ServiceError, code_of, title_of
from quartet_common.web.bodies import read_form, takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.error_handlers import HttpError
from quartet_common.web.guard import accepts_basic, caller, requires
from quartet_common.web.openapi import JSON, Dialect, Reference
from quartet_common.web.responses import json_response
from quartet_metrics.config import MetricsConfig
from quartet_metrics.metadata.metadata_usecases import list_metadata
from quartet_metrics.prometheus import prometheus_parameters as parameters
from quartet_metrics.prometheus.prometheus_domain import API_VERSION, answer
from quartet_metrics.prometheus.prometheus_models import (
    BuildAnswer,
    InstantParameters,
    LabelAnswer,
    MetadataAnswer,
    MetadataParameters,
    RangeParameters,
    ResultAnswer,
    SelectionParameters,
    SeriesAnswer,
    metadata_document,
)
from quartet_metrics.prometheus.prometheus_usecases import PrometheusQueries

PREFIX = "/metrics/prometheus"
MAX_FORM = 64 * 1024
ERROR_TYPES = {400: "bad_data", 401: "unauthorized", 403: "unauthorized", 404: "not_found", 422: "execution"}

blueprint = Blueprint("prometheus", __name__, url_prefix=f"{PREFIX}/api/v1")

Given = dict[str, list[str]]


def error_document(status: int, code: str, detail: str) -> dict[str, str]:
    """An error as Prometheus has them, with our code."""
    return {"status": "error", "errorType": ERROR_TYPES.get(status, code), "error": detail, "code": code}


def render_error(error: HttpError, path: str) -> tuple[bytes, str] | None:
    """Errors of Prometheus below PREFIX, problem documents elsewhere."""
    if not path.startswith(f"{PREFIX}/"):
        return None
    code = error.code if isinstance(error, ServiceError) else code_of(error.status)
    return orjson.dumps(error_document(error.status, code, error.detail)), JSON


def _example(status: int) -> Mapping[str, Any]:
    return error_document(status, code_of(status), f"{title_of(status)}.")


DIALECT = Dialect(
    prefix=PREFIX,
    error_type=JSON,
    error={
        "type": "object",
        "required": ["status", "errorType", "error", "code"],
        "properties": {name: {"type": "string"} for name in ("status", "errorType", "error", "code")},
    },
    error_example=_example,
)
"""The errors of these routes in the OpenAPI document."""
REFERENCE = Reference(
    examples={
        f"POST {PREFIX}/api/v1/query": {"query": "sum by (type) (quartet_events_total)", "time": "1770000000"},
        f"POST {PREFIX}/api/v1/query_range": {
            "query": "sum(increase(quartet_events_total[1h]))",
            "start": "2026-02-01T00:00:00Z",
            "end": "2026-02-02T00:00:00Z",
            "step": "1h",
        },
        f"POST {PREFIX}/api/v1/series": {"match[]": ["quartet_events_total"]},
        f"POST {PREFIX}/api/v1/labels": {"match[]": ["quartet_events_total"], "limit": "100"},
        "POST /metrics/reconciliation": {"tenant": "acme", "repair": True},
    },
    parameters={"name": "The name of a label."},
)


async def _given() -> Given:
    """All parameters, of the query string and of a form."""
    found: Given = {name: list(values) for name, values in request.args.lists()}
    if request.method == "POST":
        for name, values in (await read_form()).lists():
            found.setdefault(name, []).extend(values)
    return found


@blueprint.get("/query")
@requires("metrics:read")
@accepts_basic
@tag(["Prometheus"])
@document_querystring(InstantParameters)
@document_response(ResultAnswer)
async def query() -> Response:
    """Evaluate PromQL at one time, over the caller's tenant."""
    return await _instant()


@blueprint.post("/query")
@requires("metrics:read")
@accepts_basic
@takes(MAX_FORM)
@tag(["Prometheus"])
@document_request(InstantParameters, source=DataSource.FORM)
@document_response(ResultAnswer)
async def query_by_form() -> Response:
    """Evaluate PromQL at one time, with the parameters in a form."""
    return await _instant()


@blueprint.get("/query_range")
@requires("metrics:read")
@accepts_basic
@tag(["Prometheus"])
@document_querystring(RangeParameters)
@document_response(ResultAnswer)
async def query_range() -> Response:
    """Evaluate PromQL at each step of a range, over the caller's tenant."""
    return await _range()


@blueprint.post("/query_range")
@requires("metrics:read")
@accepts_basic
@takes(MAX_FORM)
@tag(["Prometheus"])
@document_request(RangeParameters, source=DataSource.FORM)
@document_response(ResultAnswer)
async def query_range_by_form() -> Response:
    """Evaluate PromQL at each step of a range, with the parameters in a form."""
    return await _range()


@blueprint.get("/series")
@requires("metrics:read")
@accepts_basic
@tag(["Prometheus"])
@document_querystring(SelectionParameters)
@document_response(SeriesAnswer)
async def series() -> Response:
    """List the label sets of the series of the caller's tenant that selectors match."""
    return await _series()


@blueprint.post("/series")
@requires("metrics:read")
@accepts_basic
@takes(MAX_FORM)
@tag(["Prometheus"])
@document_request(SelectionParameters, source=DataSource.FORM)
@document_response(SeriesAnswer)
async def series_by_form() -> Response:
    """List label sets of series, with the parameters in a form."""
    return await _series()


@blueprint.get("/labels")
@requires("metrics:read")
@accepts_basic
@tag(["Prometheus"])
@document_querystring(SelectionParameters)
@document_response(LabelAnswer)
async def labels() -> Response:
    """List the names of the labels of the caller's tenant."""
    return await _labels()


@blueprint.post("/labels")
@requires("metrics:read")
@accepts_basic
@takes(MAX_FORM)
@tag(["Prometheus"])
@document_request(SelectionParameters, source=DataSource.FORM)
@document_response(LabelAnswer)
async def labels_by_form() -> Response:
    """List names of labels, with the parameters in a form."""
    return await _labels()


@blueprint.get("/label/<name>/values")
@requires("metrics:read")
@accepts_basic
@tag(["Prometheus"])
@document_querystring(SelectionParameters)
@document_response(LabelAnswer)
async def label_values(name: str) -> Response:
    """List the values of a label in the caller's tenant."""
    asked = parameters.read_selection(await _given())
    found = await dependency(PrometheusQueries).list_values(caller().tenant, parameters.read_label_name(name), asked)
    return json_response(found)


@blueprint.get("/metadata")
@requires("metrics:read")
@accepts_basic
@tag(["Prometheus"])
@document_querystring(MetadataParameters)
@document_response(MetadataAnswer)
async def metadata() -> Response:
    """List type, unit and meaning of Quartet's own metrics, and of those of the tenant's applications."""
    asked = parameters.read_metadata(await _given())
    found = await list_metadata(app_container(MetricsConfig), caller().tenant, *asked)
    return json_response(answer(metadata_document(found)))


@blueprint.get("/status/buildinfo")
@requires("metrics:read")
@accepts_basic
@tag(["Prometheus"])
@document_response(BuildAnswer)
async def build_info() -> Response:
    """State the version of the Prometheus API."""
    parameters.read_nothing(await _given())
    return json_response(answer({"version": API_VERSION}))


async def _instant() -> Response:
    asked = parameters.read_instant(await _given())
    return json_response(await dependency(PrometheusQueries).evaluate(caller().tenant, "query", asked))


async def _range() -> Response:
    asked = parameters.read_range(await _given())
    return json_response(await dependency(PrometheusQueries).evaluate(caller().tenant, "query_range", asked))


async def _series() -> Response:
    asked = parameters.read_selection(await _given(), needs_selector=True)
    return json_response(await dependency(PrometheusQueries).find_series(caller().tenant, asked))


async def _labels() -> Response:
    asked = parameters.read_selection(await _given())
    return json_response(await dependency(PrometheusQueries).list_labels(caller().tenant, asked))
