"""Routes of proofs: the proof of one entry, as JSON or as the text of C2SP tlog-proof."""

from dataclasses import dataclass

from quart import Blueprint, Response, request
from quart_schema import document_querystring, tag_blueprint

from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_parameters import read_id
from quartet_audit.proofs.log_models import ProofQuery
from quartet_audit.proofs.log_parameters import read_wait
from quartet_audit.proofs.proof_domain import Proof
from quartet_audit.proofs.proof_usecases import prove_entry, share_of_waits
from quartet_common.core.fair_share import FairShare
from quartet_common.runtime.container import AppContainer
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import answers
from quartet_common.web.responses import JSON, json_response

TLOG_PROOF = "application/vnd.c2sp.tlog-proof"

blueprint = Blueprint("proofs", __name__, url_prefix="/audit/events")
tag_blueprint(blueprint, ["Transparency log"])


@dataclass(frozen=True)
class ProofWaits:
    """The share of a tenant in the requests of a process that wait for a proof."""

    share: FairShare

    @classmethod
    def of(cls, container: AppContainer[AuditConfig]) -> "ProofWaits":
        """The share, which the process reports."""
        share = share_of_waits()
        container.shares.append(share)
        return cls(share)


@blueprint.get("/<identifier>/proof")
@requires("audit:read")
@document_querystring(ProofQuery)
async def proof(identifier: str) -> Response:
    """Prove that an entry is in the log of the caller's tenant; as text for the media type of tlog-proof."""
    found = await _prove(identifier)
    if request.accept_mimetypes.best_match([JSON, TLOG_PROOF]) == TLOG_PROOF:
        return _text(found)
    response = json_response(found.document())
    response.headers["Vary"] = "Accept"
    return response


@blueprint.get("/<identifier>/proof.tlog-proof")
@requires("audit:read")
@document_querystring(ProofQuery)
@answers(TLOG_PROOF)
async def text_proof(identifier: str) -> Response:
    """Prove that an entry is in the log of the caller's tenant, as the text of tlog-proof."""
    return _text(await _prove(identifier))


async def _prove(identifier: str) -> Proof:
    wait = read_wait(request.args.to_dict(flat=False))
    waits = dependency(ProofWaits).share
    return await prove_entry(app_container(AuditConfig), waits, caller().tenant, read_id(identifier), wait)


def _text(found: Proof) -> Response:
    return Response(found.entry.text(), content_type=TLOG_PROOF, headers={"Vary": "Accept"})
