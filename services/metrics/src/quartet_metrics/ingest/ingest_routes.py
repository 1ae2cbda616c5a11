"""Routes that take metrics from applications; scope metrics:write, by bearer token or HTTP Basic."""

from functools import partial

from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from quart import Blueprint, Response, request
from quart_schema import document_request, document_response, tag

from quartet_common.core.errors import ServiceError, title_of
from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import dependency
from quartet_common.web.error_handlers import HttpError
from quartet_common.web.guard import accepts_basic, caller, requires
from quartet_common.web.openapi import Dialect
from quartet_metrics.ingest import otlp_points, remote_write_points
from quartet_metrics.ingest.ingest_models import MetricsAnswer, MetricsRequest
from quartet_metrics.ingest.ingest_parameters import (
    JSON,
    PROTOBUF,
    Decode,
    otlp_decoder,
    remote_write_decoder,
    wants_json,
)
from quartet_metrics.ingest.ingest_usecases import Ingest
from quartet_metrics.ingest.point_domain import Collected

OTLP_PREFIX = "/metrics/otlp"
MAX_BODY = 4 * 1024 * 1024
"""Maximum size of a body as it is sent, in bytes."""
GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 3, 415: 3, 429: 8, 500: 13, 503: 14}
"""Codes of google.rpc.Status by HTTP status."""
UNKNOWN = 2

blueprint = Blueprint("ingest", __name__)


@blueprint.post(f"{OTLP_PREFIX}/v1/metrics")
@requires("metrics:write")
@accepts_basic
@takes(MAX_BODY)
@tag(["applications"])
@document_request(MetricsRequest)
@document_response(MetricsAnswer)
async def take_otlp() -> Response:
    """Take metrics by OTLP/HTTP, as protobuf or JSON; the response has the same form."""
    refused = await dependency(Ingest).take(caller().tenant, await _body(), partial(_read_otlp, otlp_decoder()))
    partial_success = ExportMetricsPartialSuccess(rejected_data_points=refused.total, error_message=refused.text())
    if refused.details:
        return _otlp_response(ExportMetricsServiceResponse(partial_success=partial_success))
    return _otlp_response(ExportMetricsServiceResponse())


@blueprint.post("/metrics/prometheus/api/v1/write")
@requires("metrics:write")
@accepts_basic
@takes(MAX_BODY)
@tag(["applications"])
async def take_remote_write() -> Response:
    """Take samples by Prometheus remote write 1.0. With refused samples the status is 400; the others are stored."""
    refused = await dependency(Ingest).take(
        caller().tenant, await _body(), partial(_read_remote_write, remote_write_decoder())
    )
    if refused.total:
        raise ServiceError(400, "samples_refused", refused.text())
    return Response(status=204)


def render_error(error: HttpError, path: str) -> tuple[bytes, str] | None:
    """A google.rpc.Status below OTLP_PREFIX, in the form of the request."""
    if not path.startswith(f"{OTLP_PREFIX}/"):
        return None
    status = Status(code=GRPC_CODES.get(error.status, UNKNOWN), message=error.detail)
    return (_json(status), JSON) if wants_json() else (status.SerializeToString(), PROTOBUF)


EXAMPLE = {
    "resourceMetrics": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeMetrics": [
                {
                    "metrics": [
                        {
                            "name": "queue.length",
                            "gauge": {"dataPoints": [{"asInt": "5", "timeUnixNano": "1770000000000000000"}]},
                        }
                    ]
                }
            ],
        }
    ]
}
EXAMPLES = {f"POST {OTLP_PREFIX}/v1/metrics": EXAMPLE}
"""Examples of bodies in the OpenAPI document."""
DIALECT = Dialect(
    prefix=OTLP_PREFIX,
    taken=(PROTOBUF, JSON),
    error_type=JSON,
    error={
        "type": "object",
        "required": ["code", "message"],
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    },
    error_example=lambda status: {"code": GRPC_CODES.get(status, UNKNOWN), "message": f"{title_of(status)}."},
)
"""The errors of OTLP in the OpenAPI document."""


async def _body() -> bytes:
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return body


def _read_otlp(decode: Decode, body: bytes, now: int) -> Collected:
    return otlp_points.read_points(decode(body), now)


def _read_remote_write(decode: Decode, body: bytes, now: int) -> Collected:
    return remote_write_points.read_points(decode(body), now)


def _otlp_response(message: ExportMetricsServiceResponse) -> Response:
    body, kind = (_json(message), JSON) if wants_json() else (message.SerializeToString(), PROTOBUF)
    return Response(body, content_type=kind)


def _json(message: Status | ExportMetricsServiceResponse) -> bytes:
    return MessageToJson(message, indent=None).encode()
