"""SCIM routes of many users: the list, and searches by POST (RFC 7644 sections 3.4.2, 3.4.3)."""

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, principal, requires
from quartet_scim.api_models import ErrorDocument, ListQuery, SearchDocument
from quartet_scim.compiled_type import CompiledType
from quartet_scim.query import Query
from quartet_scim.schema import group_resource_type
from quartet_scim.urn_references import urns_in_message
from quartet_scim_http.requests import MAX_SEARCH_BYTES, read_query, read_search
from quartet_scim_http.searching import Found, list_answer, search
from quartet_users.config import UsersConfig
from quartet_users.groups_client import GroupDirectory
from quartet_users.search.multi_type_search import Searched, search_all
from quartet_users.search.user_source import UserSource
from quartet_users.tenant_schemas.user_types import UserTypes
from quartet_users.users.user_models import UserListDocument
from quartet_users.users.user_view import UserView

GROUP_TYPE = CompiledType.of(group_resource_type())

blueprint = Blueprint("search", __name__, url_prefix="/scim/v2")


@blueprint.get("/Users")
@requires("users:read")
@tag(["SCIM users"])
@document_querystring(ListQuery)
@document_response(UserListDocument)
@document_response(ErrorDocument, 400)
async def users() -> Response:
    """List users by index or cursor, optionally filtered and sorted."""
    return await _answer(read_query())


@blueprint.post("/Users/.search")
@requires("users:read")
@takes(MAX_SEARCH_BYTES)
@tag(["SCIM users"])
@document_request(SearchDocument)
@document_response(UserListDocument)
@document_response(ErrorDocument, 400)
async def users_by_post() -> Response:
    """Search users by POST (RFC 7644 section 3.4.3)."""
    return await _answer(await read_search())


@blueprint.get("")
@requires("users:read", "groups:read")
@tag(["SCIM users and groups"])
@document_querystring(ListQuery)
@document_response(UserListDocument)
@document_response(ErrorDocument, 400)
async def everything() -> Response:
    """List users, then groups, as far as the token may read them (RFC 7644 section 3.4.2.1)."""
    return await _answer_of_all(read_query())


@blueprint.post("/.search")
@requires("users:read", "groups:read")
@takes(MAX_SEARCH_BYTES)
@tag(["SCIM users and groups"])
@document_request(SearchDocument)
@document_response(UserListDocument)
@document_response(ErrorDocument, 400)
async def everything_by_post() -> Response:
    """Search users and groups (RFC 7644 section 3.4.3), as far as the token may read them."""
    return await _answer_of_all(await read_search())


async def _answer(query: Query) -> Response:
    tenant = caller().tenant
    user_type = await dependency(UserTypes).of(tenant, urns_in_message(query.body()))
    source = UserSource(app_container(UsersConfig), dependency(UserView), tenant)
    return list_answer(query, await search(query, user_type, source, ["users", tenant]))


async def _answer_of_all(query: Query) -> Response:
    who, scopes = caller(), principal().scopes
    user_type = await dependency(UserTypes).of(who.tenant, urns_in_message(query.body()))
    source = UserSource(app_container(UsersConfig), dependency(UserView), who.tenant)

    async def users_among_others(asked: Query) -> Found:
        return await search(asked, user_type, source, ["root", who.tenant], unknown_is_absent=True)

    async def groups_among_others(asked: Query) -> Found:
        return await dependency(GroupDirectory).search(who, asked)

    readable = [
        *([Searched(user_type, users_among_others)] if "users:read" in scopes else []),
        *([Searched(GROUP_TYPE, groups_among_others)] if "groups:read" in scopes else []),
    ]
    return list_answer(query, await search_all(query, readable, who.tenant))
