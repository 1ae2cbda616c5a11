"""The route of exports of the log, as entries or as a bundle with proofs: streams that can be continued."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from quart import Blueprint, Response, request
from quart_schema import document_querystring, tag_blueprint

from quartet_audit.config import AuditConfig
from quartet_audit.exports.bundle_usecases import bundle_lines, open_bundle
from quartet_audit.exports.export_parameters import BUNDLE, ExportRequest, read_export
from quartet_audit.exports.export_usecases import export_lines, read_size, record_log_export
from quartet_audit.proofs.log_models import ExportQuery
from quartet_common.core.fair_share import FairShare
from quartet_common.runtime.container import AppContainer
from quartet_common.web.blueprints.data_export import NDJSON, keep_pace
from quartet_common.web.compression import GZIP, VARY, accepts_gzip, gzipped
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import answers
from quartet_common.web.query_parameters import BadParameterError
from quartet_common.web.responses import hold_share, streamed_response

EXPORTS = 8
"""Exports that a process streams at a time, one for each tenant; each has a batch of entries in memory."""
CSV = "text/csv; charset=utf-8; header={}"
"""RFC 4180 section 3, RFC 7111 section 5.1."""

blueprint = Blueprint("export", __name__, url_prefix="/audit")
tag_blueprint(blueprint, ["Operations"])


@dataclass(frozen=True)
class LogExports:
    """The share of a tenant in the exports of logs that a process streams."""

    share: FairShare

    @classmethod
    def of(cls, container: AppContainer[AuditConfig]) -> "LogExports":
        """The share, which the process reports."""
        share = FairShare("exports of logs", EXPORTS, 1, queue=0, timeout=1)
        container.shares.append(share)
        return cls(share)


@blueprint.get("/export")
@requires("audit:export")
@document_querystring(ExportQuery)
@answers(NDJSON)
async def export() -> Response:
    """Export the log of the caller's tenant: entries as NDJSON, CSV or OCSF, or a bundle with leaves and proofs.

    With `Accept-Encoding: gzip` the stream is compressed.
    """
    container, tenant = app_container(AuditConfig), caller().tenant
    wanted = read_export(request.args.to_dict(flat=False))
    lines = await _open(container, tenant, wanted)
    is_compressed = accepts_gzip(request)
    pieces = keep_pace(gzipped(lines) if is_compressed else lines)
    await record_log_export(container, caller(), wanted)
    headers = _attachment(tenant, wanted) | VARY | (GZIP if is_compressed else {})
    held = hold_share(dependency(LogExports).share, tenant, pieces)
    return await streamed_response(held, _content_type(wanted), headers)


async def _open(
    container: AppContainer[AuditConfig], tenant: str, wanted: ExportRequest
) -> AsyncGenerator[bytes, None]:
    """The lines of an export. Raises BadParameterError (400) if it would begin after the end of the log."""
    if wanted.format == BUNDLE:
        bundle = await open_bundle(container, tenant, wanted.start, wanted.deployment)
        if wanted.start > (size := bundle.checkpoint.size):
            rule = f"must be at most {size}, the size of the last checkpoint, got {wanted.start}"
            raise BadParameterError("from", rule)
        return bundle_lines(container, bundle)
    size = await read_size(container, tenant)
    if wanted.start > size:
        rule = f"must be the sequence of an entry, and the log has {size} of them, got {wanted.start - 1}"
        raise BadParameterError("after", rule)
    return export_lines(container, tenant, wanted, size)


def _content_type(wanted: ExportRequest) -> str:
    return CSV.format("absent" if wanted.is_continued else "present") if wanted.format == "csv" else NDJSON


def _attachment(tenant: str, wanted: ExportRequest) -> dict[str, str]:
    ending = "csv" if wanted.format == "csv" else "ndjson"
    return {"Content-Disposition": f'attachment; filename="{tenant}-{wanted.start}.{ending}"'}
