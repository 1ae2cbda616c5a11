"""Routes for other services: look up users by id, and the scopes of groups."""

from typing import Any

from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.core.errors import BadRequestError
from quartet_common.core.identifiers import parse_id
from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, requires
from quartet_common.web.responses import json_response
from quartet_common.web.service_request import stop_on_disconnect
from quartet_scim.usernames import prepare
from quartet_scim_http.requests import read_body
from quartet_users.config import UsersConfig
from quartet_users.roles import role_store
from quartet_users.users import user_store
from quartet_users.users.user_models import (
    GroupScopesDocument,
    KnownUser,
    LookupDocument,
    LookupRequest,
    UserLookupRequest,
)

MAX_IDS = 1000
MAX_LOOKUP_BYTES = 64 * 1024
"""Bytes of a body with MAX_IDS ids."""
MAX_NAMES_BYTES = 1024 * 1024
"""Bytes of a body with names."""

EXPECTED = f"The body must be an object with lists of at most {MAX_IDS} strings together: ids, userNames, externalIds."

blueprint = Blueprint("internal", __name__, url_prefix="/users")


@blueprint.post("/lookup")
@requires(SERVICE_SCOPE)
@takes(MAX_NAMES_BYTES)
@tag(["Services"])
@document_request(UserLookupRequest)
@document_response(LookupDocument)
async def lookup() -> Response:
    """Find which of up to 1,000 ids, userNames and externalIds are of users of the tenant."""
    stop_on_disconnect()
    body = await read_body()
    if not body.keys() & {"ids", "userNames", "externalIds"}:
        raise BadRequestError(EXPECTED)
    ids, names, external_ids = (_texts(body, name) for name in ("ids", "userNames", "externalIds"))
    if len(ids) + len(names) + len(external_ids) > MAX_IDS:
        raise BadRequestError(EXPECTED)
    known = [found for found in map(parse_id, ids) if found is not None]
    keys = [prepare(name) for name in names]
    async with app_container(UsersConfig).database.connection() as connection:
        rows = await user_store.find_by_ids(connection, caller().tenant, known)
        rows += await user_store.find_by_names(connection, caller().tenant, keys, external_ids)
    found = {
        row["id"]: KnownUser(
            str(row["id"]), row["user_name"], row["display_name"], row["version"], externalId=row["external_id"]
        )
        for row in rows
    }
    return json_response(LookupDocument(list(found.values())))


@blueprint.post("/lookup/group-scopes")
@requires(SERVICE_SCOPE)
@takes(MAX_LOOKUP_BYTES)
@tag(["Services"])
@document_request(LookupRequest)
@document_response(GroupScopesDocument)
async def group_scopes() -> Response:
    """List the scopes of the roles that are granted directly to up to 1,000 groups."""
    known = [found for found in map(parse_id, _ids(await read_body())) if found is not None]
    async with app_container(UsersConfig).database.connection() as connection:
        scopes = await role_store.scopes_of_groups(connection, caller().tenant, known)
    return json_response(GroupScopesDocument(scopes))


def _texts(body: dict[str, Any], name: str) -> list[str]:
    sent = body.get(name, [])
    if not isinstance(sent, list) or not all(isinstance(one, str) and "\x00" not in one for one in sent):
        raise BadRequestError(EXPECTED)
    return sent


def _ids(body: dict[str, Any]) -> list[str]:
    ids = body.get("ids")
    if not isinstance(ids, list) or len(ids) > MAX_IDS or not all(isinstance(one, str) for one in ids):
        raise BadRequestError(f"The body must be an object whose ids are a list of at most {MAX_IDS} strings.")
    return ids
