"""Routes of logs: checkpoints, tiles and entry bundles (C2SP tlog-tiles), and consistency proofs."""

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_response, tag_blueprint

from quartet_audit.config import AuditConfig
from quartet_audit.note_domain import encode_base64
from quartet_audit.proofs import log_usecases
from quartet_audit.proofs.log_models import ConsistencyDocument, ConsistencyQuery
from quartet_audit.proofs.log_parameters import own_log, read_sizes, read_tile_path
from quartet_audit.trees.tree_store import DEPLOYMENT_LOG
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import public, requires
from quartet_common.web.openapi import answers
from quartet_common.web.responses import json_response

TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
YEAR = "max-age=31536000, immutable"
NOW = "max-age=1"

blueprint = Blueprint("log", __name__, url_prefix="/audit/log")
tag_blueprint(blueprint, ["Transparency log"])


@blueprint.get("/checkpoint")
@public
@answers(TEXT)
async def deployment_checkpoint() -> Response:
    """Read the last checkpoint of the deployment log."""
    return await _checkpoint(DEPLOYMENT_LOG, f"public, {NOW}")


@blueprint.get("/tile/<tile:path>")
@public
@answers(BYTES)
async def deployment_tile(path: str) -> Response:
    """Read a tile or an entry bundle of the deployment log."""
    return await _tile(DEPLOYMENT_LOG, path, f"public, {YEAR}")


@blueprint.get("/<tenant>/checkpoint")
@requires("audit:read")
@answers(TEXT)
async def checkpoint(tenant: str) -> Response:
    """Read the last checkpoint of the log of the caller's tenant."""
    return await _checkpoint(own_log(tenant), f"private, {NOW}")


@blueprint.get("/<tenant>/tile/<tile:path>")
@requires("audit:read")
@answers(BYTES)
async def tile(tenant: str, path: str) -> Response:
    """Read a tile or an entry bundle of the log of the caller's tenant."""
    return await _tile(own_log(tenant), path, f"private, {YEAR}")


@blueprint.get("/<tenant>/consistency")
@requires("audit:read")
@document_querystring(ConsistencyQuery)
@document_response(ConsistencyDocument)
async def consistency(tenant: str) -> Response:
    """Prove that the log of the caller's tenant with `to` entries extends that with `from` entries."""
    log, (old, size) = own_log(tenant), read_sizes(request.args.to_dict(flat=False))
    hashes = await log_usecases.prove_consistency(app_container(AuditConfig), log, old, size)
    return json_response({"hashes": [encode_base64(one) for one in hashes]})


async def _checkpoint(log: str, cached: str) -> Response:
    found = await log_usecases.read_checkpoint(app_container(AuditConfig), log)
    return Response(found.note, content_type=TEXT, headers={"Cache-Control": cached})


async def _tile(log: str, path: str, cached: str) -> Response:
    found = await log_usecases.read_tile(app_container(AuditConfig), log, read_tile_path(path))
    return Response(found, content_type=BYTES, headers={"Cache-Control": cached})
