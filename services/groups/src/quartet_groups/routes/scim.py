"""SCIM routes of groups: create, read, replace, patch, delete, list (RFC 7644 section 3)."""

from uuid import UUID

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.guard import caller, requires
from quartet_common.container import AppContainer
from quartet_groups import store, usecases
from quartet_groups.clients import UserDirectory
from quartet_groups.config import GroupsConfig
from quartet_groups.members import SentMember, read_orders, split_members
from quartet_groups.routes.documents import GroupDocument, GroupListDocument
from quartet_groups.store import StoredGroup
from quartet_groups.views import GroupView
from quartet_scim.compiled import CompiledType
from quartet_scim.documents import ErrorDocument, ListQuery, PatchDocument, ProjectionQuery
from quartet_scim.errors import not_found
from quartet_scim.filters import Sql, to_sql
from quartet_scim.filters import parse as parse_filter
from quartet_scim.http import CONTENT_TYPE
from quartet_scim.paging import Page, parse_page
from quartet_scim.patch import parse_patch, split_member_operations
from quartet_scim.projection import Projection
from quartet_scim.render import list_response
from quartet_scim.resource import Attributes
from quartet_scim_http.requests import known_id, read_body, read_if_match, read_projection
from quartet_scim_http.responses import resource_response

MEMBERS = "members"


def scim_blueprint(
    container: AppContainer[GroupsConfig], users: UserDirectory, group_type: CompiledType, view: GroupView
) -> Blueprint:
    """Routes under `/scim/v2/Groups`."""
    blueprint = Blueprint("scim", __name__)

    async def sent() -> tuple[Attributes, list[SentMember]]:
        return split_members(group_type.normaliser.normalise(await read_body()).attributes)

    async def answer(group_id: UUID, shown: Projection, status: int = 200) -> Response:
        async with container.database.connection() as connection:
            row = await store.read_group(
                connection, caller().tenant, group_id, view.members.column(shown.wants(MEMBERS))
            )
        if row is None:
            raise not_found()
        location = view.location(group_id)
        return resource_response(view.of_row(row), shown, version=row["version"], location=location, status=status)

    @blueprint.post("/Groups")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_request(GroupDocument)
    @document_response(GroupDocument, 201)
    @document_response(ErrorDocument, 400)
    async def create() -> Response:
        """Create a group (RFC 7644 section 3.3)."""
        shown = read_projection(group_type.projector)
        attributes, members = await sent()
        return await answer(await usecases.create_group(container, users, caller(), attributes, members), shown, 201)

    @blueprint.get("/Groups")
    @requires("groups:read")
    @tag(["SCIM groups"])
    @document_querystring(ListQuery)
    @document_response(GroupListDocument)
    @document_response(ErrorDocument, 400)
    async def list_() -> Response:
        """List groups by page, all of them or those that a filter finds (RFC 7644 section 3.4.2)."""
        page = parse_page(request.args.get("startIndex"), request.args.get("count"))
        shown = read_projection(group_type.projector)
        text = request.args.get("filter")
        where = None if text is None else to_sql(group_type.resolver.resolve(parse_filter(text)), store.SEARCHED, 2)
        total, rows = await _page(container, page, where, view.members.column(shown.wants(MEMBERS)))
        resources = [shown.of(view.of_row(row)) for row in rows]
        body = list_response(resources, total=total, start_index=page.start_index, items_per_page=len(resources))
        return Response(body, content_type=CONTENT_TYPE)

    @blueprint.get("/Groups/<group_id>")
    @requires("groups:read")
    @tag(["SCIM groups"])
    @document_querystring(ProjectionQuery)
    @document_response(GroupDocument)
    @document_response(ErrorDocument, 404)
    async def read(group_id: str) -> Response:
        """Read a group with its members (RFC 7644 section 3.4.1)."""
        return await answer(known_id(group_id), read_projection(group_type.projector))

    @blueprint.put("/Groups/<group_id>")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_request(GroupDocument)
    @document_response(GroupDocument)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 404)
    async def replace(group_id: str) -> Response:
        """Replace a group and its members (RFC 7644 section 3.5.1)."""
        shown = read_projection(group_type.projector)
        known = known_id(group_id)
        attributes, members = await sent()
        await usecases.replace_group(container, users, caller(), known, attributes, members, read_if_match())
        return await answer(known, shown)

    @blueprint.patch("/Groups/<group_id>")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_request(PatchDocument)
    @document_response(GroupDocument)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 404)
    async def patch(group_id: str) -> Response:
        """Change a group by operations, all or none; the answer leaves members out unless asked (RFC 7644 3.5.2)."""
        shown = read_projection(group_type.projector, excluded=MEMBERS)
        known = known_id(group_id)
        changes, operations = split_member_operations(parse_patch(await read_body()))
        await usecases.patch_group(
            container, users, group_type.engine, caller(), known, read_orders(changes), operations, read_if_match()
        )
        return await answer(known, shown)

    @blueprint.delete("/Groups/<group_id>")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_response(ErrorDocument, 404)
    async def delete(group_id: str) -> Response:
        """Delete a group (RFC 7644 section 3.6)."""
        await usecases.delete_group(container, caller(), known_id(group_id), read_if_match())
        return Response(b"", 204)

    return blueprint


async def _page(
    container: AppContainer[GroupsConfig], page: Page, where: Sql | None, members: str
) -> tuple[int, list[StoredGroup]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        if where is None:
            total = await store.count_groups(connection, tenant)
            return total, await store.list_groups(connection, tenant, members, page.offset, page.count)
        rows = await store.find_groups(connection, tenant, members, where, page.offset, page.count)
        if page.offset == 0 and len(rows) < page.count:
            return len(rows), rows  # these are all: no need to count
        return await store.count_found(connection, tenant, where), rows
