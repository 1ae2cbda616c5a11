"""SCIM routes of many users: the list, and searches by POST (RFC 7644 sections 3.4.2, 3.4.3)."""

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.guard import caller, requires
from quartet_common.container import AppContainer
from quartet_scim.documents import ErrorDocument, ListQuery, SearchDocument
from quartet_scim.query import Query
from quartet_scim_http.requests import read_query, read_search
from quartet_scim_http.searching import list_answer, search
from quartet_users.config import UsersConfig
from quartet_users.lists import UserSource
from quartet_users.resource_types import UserTypes
from quartet_users.routes.documents import UserListDocument
from quartet_users.views import UserView


def search_blueprint(container: AppContainer[UsersConfig], types: UserTypes, view: UserView) -> Blueprint:
    """`/scim/v2/Users` for reading and `/scim/v2/Users/.search`."""
    blueprint = Blueprint("search", __name__)

    async def answer(query: Query) -> Response:
        tenant = caller().tenant
        source = UserSource(container, view, tenant)
        return list_answer(query, await search(query, await types.of(tenant), source, ["users", tenant]))

    @blueprint.get("/Users")
    @requires("users:read")
    @tag(["SCIM users"])
    @document_querystring(ListQuery)
    @document_response(UserListDocument)
    @document_response(ErrorDocument, 400)
    async def users() -> Response:
        """List users by index or by cursor, all of them or those that a filter finds, in any order."""
        return await answer(read_query())

    @blueprint.post("/Users/.search")
    @requires("users:read")
    @tag(["SCIM users"])
    @document_request(SearchDocument)
    @document_response(UserListDocument)
    @document_response(ErrorDocument, 400)
    async def users_by_post() -> Response:
        """Search users by a message instead of a query string (RFC 7644 section 3.4.3)."""
        return await answer(await read_search())

    return blueprint
