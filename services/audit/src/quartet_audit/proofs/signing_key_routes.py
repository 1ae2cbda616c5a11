"""Routes of signing keys: the verifier keys of the logs, and their rotation by the platform's administrator."""

from quart import Blueprint, Response
from quart_schema import document_querystring, tag_blueprint

from quartet_audit.checkpoints.checkpoint_domain import deployment_origin, tenant_origin
from quartet_audit.checkpoints.signing_key_domain import KeyPeriod
from quartet_audit.checkpoints.signing_key_usecases import SigningKeys, list_keys
from quartet_audit.checkpoints.signing_key_usecases import rotate as rotate_keys
from quartet_audit.config import AuditConfig
from quartet_audit.note_domain import ED25519
from quartet_audit.proofs.log_models import LogKeysQuery
from quartet_audit.proofs.log_parameters import own_log
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, public, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.pages import read_parameters
from quartet_common.web.query_parameters import BadParameterError
from quartet_common.web.responses import json_response

TRUTH = {"true": True, "false": False}


blueprint = Blueprint("log_keys", __name__, url_prefix="/audit/log")
tag_blueprint(blueprint, ["Transparency log"])


@blueprint.get("/keys")
@public
async def deployment() -> Response:
    """List the verifier keys (vkeys) of the deployment log, and when each signs."""
    config = app_container(AuditConfig).config
    return _answer(await list_keys(app_container(AuditConfig)), deployment_origin(config.public_url))


@blueprint.get("/<tenant>/keys")
@requires("audit:read")
async def of_tenant(tenant: str) -> Response:
    """List the verifier keys (vkeys) of the log of the caller's tenant, and when each signs."""
    origin = tenant_origin(app_container(AuditConfig).config.public_url, own_log(tenant))
    keys = await list_keys(app_container(AuditConfig))
    return _answer([key for key in keys if key.type == ED25519], origin)


@blueprint.post("/keys/rotate")
@requires("platform:admin")
@document_querystring(LogKeysQuery)
@idempotent
async def rotate() -> Response:
    """Sign the logs with new keys from now on; the old keys sign too for a week, or no more with `now=true`."""
    container = app_container(AuditConfig)
    at_once = TRUTH.get(read_parameters("now").get("now", "false").lower())
    if at_once is None:
        raise BadParameterError("now", "must be true or false")
    keys = await rotate_keys(container, dependency(SigningKeys), caller(), at_once=at_once)
    return _answer(keys, deployment_origin(container.config.public_url))


def _answer(keys: list[KeyPeriod], origin: str) -> Response:
    documents = [{"vkey": key.of(origin).encode(), "from": key.signs_from, "until": key.until} for key in keys]
    return json_response({"keys": documents})
