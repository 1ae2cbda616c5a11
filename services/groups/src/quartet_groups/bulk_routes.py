"""The internal route for the group operations of a Bulk request, called by users (RFC 7644 section 3.7)."""

import asyncio
from typing import Any

import msgspec
import orjson
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.core.errors import BadRequestError
from quartet_common.web.bodies import ANY_SIZE, read_json_bytes, takes
from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response
from quartet_groups.bulk_usecases import GroupBulk, GroupOperations
from quartet_groups.group_models import GroupOperationsDocument, GroupResultsDocument
from quartet_scim.bulk import MAX_OPERATIONS, Outcome

blueprint = Blueprint("bulk", __name__, url_prefix="/groups")


@blueprint.post("/bulk")
@requires(SERVICE_SCOPE)
@takes(ANY_SIZE)
@tag(["Services"])
@document_request(GroupOperationsDocument)
@document_response(GroupResultsDocument)
async def carry_out() -> Response:
    """Carry out group operations in order; each has a result of its own."""
    body = await read_json_bytes()
    outcomes = await dependency(GroupBulk).carry_out(caller(), await asyncio.to_thread(_read, body))
    return json_response(orjson.dumps({"results": [_result(one) for one in outcomes]}))


def _read(body: bytes) -> GroupOperations:
    try:
        found = msgspec.json.decode(body, type=GroupOperations)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequestError("The body must be an object with a list of operations.") from None
    if len(found.operations) > MAX_OPERATIONS:
        raise BadRequestError(f"operations must be at most {MAX_OPERATIONS}.")
    return found


def _result(outcome: Outcome) -> dict[str, Any]:
    error = None if outcome.error is None else outcome.error.document()
    return {"status": outcome.status, "version": outcome.version, "error": error}
