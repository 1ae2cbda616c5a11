"""Routes for other services: what they keep of users that they have not heard of."""

from typing import Any

from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.asgi import stop_on_disconnect
from quartet_common.auth.guard import caller, requires
from quartet_common.auth.principal import SERVICE_SCOPE
from quartet_common.container import AppContainer
from quartet_common.errors import BadRequestError
from quartet_common.ids import parse_id
from quartet_common.responses import json_response
from quartet_scim_http.requests import read_body
from quartet_users.config import UsersConfig
from quartet_users.scim import user_store
from quartet_users.scim.scim_documents import KnownUser, LookupDocument, LookupRequest

MAX_IDS = 1000


def internal_blueprint(container: AppContainer[UsersConfig]) -> Blueprint:
    """`/users/lookup`."""
    blueprint = Blueprint("internal", __name__)

    @blueprint.post("/lookup")
    @requires(SERVICE_SCOPE)
    @tag(["Services"])
    @document_request(LookupRequest)
    @document_response(LookupDocument)
    async def lookup() -> Response:
        """Which of up to 1,000 ids are users of the tenant, and their names."""
        stop_on_disconnect()
        ids = _ids(await read_body())
        known = [found for found in map(parse_id, ids) if found is not None]
        async with container.database.connection() as connection:
            rows = await user_store.find_by_ids(connection, caller().tenant, known)
        found = [KnownUser(str(row["id"]), row["user_name"], row["display_name"], row["version"]) for row in rows]
        return json_response(LookupDocument(found))

    return blueprint


def _ids(body: dict[str, Any]) -> list[str]:
    ids = body.get("ids")
    if not isinstance(ids, list) or len(ids) > MAX_IDS or not all(isinstance(one, str) for one in ids):
        raise BadRequestError(f"The body must be an object whose ids are a list of at most {MAX_IDS} strings.")
    return ids
