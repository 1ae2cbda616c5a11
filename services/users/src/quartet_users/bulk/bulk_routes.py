"""The Bulk route: many operations on users and groups in one request (RFC 7644 section 3.7)."""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import replace

import orjson
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.core.errors import BodyTooLargeError
from quartet_common.core.identifiers import new_id
from quartet_common.core.offload import LARGE_BODY
from quartet_common.web.bodies import ANY_SIZE, takes
from quartet_common.web.denied_requests import record_partial_refusal
from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import caller, principal, requires
from quartet_common.web.idempotency import idempotent
from quartet_scim.api_models import ErrorDocument
from quartet_scim.bulk import BulkOperation, BulkRequest, Plan, make_plan, parse_bulk
from quartet_scim.errors import ScimError
from quartet_scim.http import CONTENT_TYPE
from quartet_scim.json import parse
from quartet_scim.urn_references import urns_in_message
from quartet_scim_http.requests import read_bytes
from quartet_users.bulk.bulk_models import BulkRequestDocument, BulkResponseDocument
from quartet_users.bulk.bulk_runs import ENDPOINTS, GROUPS, USERS
from quartet_users.bulk.bulk_usecases import Bulk, BulkDependencies
from quartet_users.tenant_schemas.user_types import UserTypes

SCOPES = {USERS: "users:write", GROUPS: "groups:write"}

blueprint = Blueprint("bulk", __name__, url_prefix="/scim/v2")


@blueprint.post("/Bulk")
@requires(*SCOPES.values())
@takes(ANY_SIZE)
@tag(["SCIM bulk"])
@document_request(BulkRequestDocument)
@document_response(BulkResponseDocument)
@document_response(ErrorDocument, 400)
@document_response(ErrorDocument, 413)
@idempotent
async def carry_out() -> Response:
    """Carry out up to 1,000 operations with one result each (RFC 7644 section 3.7)."""
    dependencies = dependency(BulkDependencies)
    config = dependencies.container.config
    body = await _body(config.max_body_bytes)
    # Megabytes of JSON take longer than other requests should wait.
    request, plan, large, mentioned = await asyncio.to_thread(_planned, body, principal().scopes)
    for scope in _lacking(request.operations, principal().scopes):
        await record_partial_refusal(scope)
    user_type = await dependency(UserTypes).of(caller().tenant, mentioned)
    bulk = Bulk(dependencies, user_type, caller(), plan, request.fail_on_errors, large)
    await bulk.carry_out()
    answer = bulk.results.response(lambda endpoint, known: f"{config.issuer}/scim/v2{endpoint}/{known}")
    return Response(orjson.dumps(answer), content_type=CONTENT_TYPE)


async def _body(limit: int) -> bytes:
    try:
        return await read_bytes()
    except BodyTooLargeError:
        raise ScimError(413, f"The size of the bulk operation exceeds the maxPayloadSize ({limit}).") from None


def _planned(body: bytes, scopes: Set[str]) -> tuple[BulkRequest, Plan, set[int], set[str]]:
    """The request, the plan of its operations, the indexes of large ones, and the URNs that they name."""
    request = parse_bulk(parse(body), ENDPOINTS)
    allowed = [_allowed(one, scopes) for one in request.operations]
    plan = make_plan(allowed, ENDPOINTS, lambda: str(new_id()))
    large = {one.operation.index for one in plan.operations if len(orjson.dumps(one.data)) >= LARGE_BODY}
    mentioned = {urn for one in plan.operations if isinstance(one.data, dict) for urn in urns_in_message(one.data)}
    return request, plan, large, mentioned


def _allowed(one: BulkOperation, scopes: Set[str]) -> BulkOperation:
    """The operation, with a fault if the access token lacks its scope."""
    scope = SCOPES.get(one.endpoint or "")
    if one.fault is not None or scope is None or scope in scopes:
        return one
    return replace(one, fault=ScimError(403, f"The access token lacks the scope {scope}."))


def _lacking(operations: Sequence[BulkOperation], scopes: Set[str]) -> list[str]:
    """The scopes that the operations need and the token lacks, each once."""
    asked = {one.endpoint for one in operations}
    return [scope for endpoint, scope in SCOPES.items() if endpoint in asked and scope not in scopes]
