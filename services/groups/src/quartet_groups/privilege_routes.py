"""The internal route that marks privileged groups: users calls it before it grants a role to a group."""

from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.web.bodies import read_json, takes
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response
from quartet_groups import privilege_store
from quartet_groups.config import GroupsConfig
from quartet_groups.group_models import MarkBody, MarkDocument, MarkedDocument, MarkedGroupDocument

MAX_MARK_BYTES = 64 * 1024
"""Bytes of a body with 1,000 ids."""


blueprint = Blueprint("privileges", __name__, url_prefix="/groups")


@blueprint.post("/privileged")
@requires(SERVICE_SCOPE)
@takes(MAX_MARK_BYTES)
@tag(["Services"])
@document_request(MarkDocument)
@document_response(MarkedDocument)
async def mark() -> Response:
    """Mark up to 1,000 groups: changes of their members need the scopes of their roles from now on."""
    body = await read_json(MarkBody)
    async with app_container(GroupsConfig).database.transaction() as connection:
        found = await privilege_store.mark(connection, caller().tenant, body.ids)
    return json_response(MarkedDocument([MarkedGroupDocument(str(one), name) for one, name in found.items()]))
