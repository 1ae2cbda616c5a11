"""SCIM routes of many groups: the list, and searches by POST (RFC 7644 sections 3.4.2, 3.4.3)."""

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.scopes import SERVICE_SCOPE
from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.service_request import stop_on_disconnect
from quartet_groups.config import GroupsConfig
from quartet_groups.group_models import GroupListDocument
from quartet_groups.group_source import GroupSource
from quartet_groups.group_view import GroupView
from quartet_scim.api_models import ErrorDocument, ListQuery, SearchDocument
from quartet_scim.compiled_type import CompiledType
from quartet_scim.query import Query, query_of_body
from quartet_scim_http.requests import MAX_SEARCH_BYTES, read_body, read_query, read_search
from quartet_scim_http.searching import list_answer, search

MAX_MERGED = 1000


blueprint = Blueprint("search", __name__, url_prefix="/scim/v2")
internal_blueprint = Blueprint("internal_search", __name__, url_prefix="/groups")
"""For the users service, which serves searches over all types."""


@blueprint.get("/Groups")
@requires("groups:read")
@tag(["SCIM groups"])
@document_querystring(ListQuery)
@document_response(GroupListDocument)
@document_response(ErrorDocument, 400)
async def groups() -> Response:
    """List groups by index or cursor, optionally filtered and sorted."""
    return await _answer(read_query())


@blueprint.post("/Groups/.search")
@requires("groups:read")
@takes(MAX_SEARCH_BYTES)
@tag(["SCIM groups"])
@document_request(SearchDocument)
@document_response(GroupListDocument)
@document_response(ErrorDocument, 400)
async def groups_by_post() -> Response:
    """Search groups by POST (RFC 7644 section 3.4.3)."""
    return await _answer(await read_search())


@internal_blueprint.post("/search")
@requires(SERVICE_SCOPE)
@takes(2 * MAX_SEARCH_BYTES)
@tag(["Services"])
@document_request(SearchDocument)
@document_response(GroupListDocument)
@document_response(ErrorDocument, 400)
async def groups_among_others() -> Response:
    """Search groups with queries that may name attributes of users; groups have no values of these."""
    stop_on_disconnect()
    query = query_of_body(await read_body(), maximum=MAX_MERGED)
    return await _answer(query, unknown_is_absent=True)


async def _answer(query: Query, *, unknown_is_absent: bool = False) -> Response:
    tenant = caller().tenant
    source = GroupSource(app_container(GroupsConfig), dependency(GroupView), tenant)
    context = ["groups", tenant, str(unknown_is_absent)]
    found = await search(query, dependency(CompiledType), source, context, unknown_is_absent=unknown_is_absent)
    return list_answer(query, found)
