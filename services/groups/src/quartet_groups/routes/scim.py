"""SCIM routes of groups: create, read, replace, patch, delete, list (RFC 7644 section 3)."""

from uuid import UUID

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.guard import caller, requires
from quartet_common.container import AppContainer
from quartet_common.ids import parse_id
from quartet_groups import store, usecases
from quartet_groups.clients import UserDirectory
from quartet_groups.config import GroupsConfig
from quartet_groups.domain import read_orders, split_members
from quartet_groups.routes.documents import GroupDocument, GroupListDocument
from quartet_groups.store import StoredGroup
from quartet_scim.documents import ErrorDocument, ListQuery, PatchDocument, ProjectionQuery
from quartet_scim.errors import not_found
from quartet_scim.filters import Resolver, Sql, to_sql
from quartet_scim.filters import parse as parse_filter
from quartet_scim.http import CONTENT_TYPE, require_json
from quartet_scim.json import parse
from quartet_scim.normalise import Normaliser
from quartet_scim.paging import Page, parse_page
from quartet_scim.patch import PatchEngine, parse_patch, split_member_operations
from quartet_scim.projection import Projection, Projector
from quartet_scim.render import etag, list_response, render
from quartet_scim.resource import Attributes
from quartet_scim.schema import group_resource_type

RESOURCE_TYPE = group_resource_type()
MEMBERS = "members"


def scim_blueprint(container: AppContainer[GroupsConfig], users: UserDirectory) -> Blueprint:
    """Routes under `/scim/v2/Groups`."""
    blueprint = Blueprint("scim", __name__)
    normaliser = Normaliser(RESOURCE_TYPE)
    engine = PatchEngine(RESOURCE_TYPE)
    resolver = Resolver(RESOURCE_TYPE)
    projector = Projector(RESOURCE_TYPE)
    base = f"{container.config.issuer}/scim/v2"

    def projection(excluded: str | None = None) -> Projection:
        """What the request wants to see; without its word, everything but `excluded`."""
        attributes, without = request.args.get("attributes"), request.args.get("excludedAttributes")
        return projector.parse(attributes, without if attributes is not None or without is not None else excluded)

    async def sent() -> tuple[Attributes, list[UUID]]:
        return split_members(normaliser.normalise(await _body()).attributes)

    async def answer(group_id: UUID, shown: Projection, status: int = 200) -> Response:
        async with container.database.connection() as connection:
            row = await store.read_group(
                connection, caller().tenant, _users_url(base), group_id, members=shown.wants(MEMBERS)
            )
        if row is None:
            raise not_found()
        response = Response(shown.of(_render(base, row)), status, content_type=CONTENT_TYPE)
        response.headers["ETag"] = etag(row["version"])
        location = "Location" if status == 201 else "Content-Location"
        response.headers[location] = f"{base}/Groups/{group_id}"
        return response

    @blueprint.post("/Groups")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_request(GroupDocument)
    @document_response(GroupDocument, 201)
    @document_response(ErrorDocument, 400)
    async def create() -> Response:
        """Create a group (RFC 7644 section 3.3)."""
        shown = projection()
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
        shown = projection()
        text = request.args.get("filter")
        where = None if text is None else to_sql(resolver.resolve(parse_filter(text)), store.SEARCHED, 3)
        total, rows = await _page(container, _users_url(base), page, where, shown.wants(MEMBERS))
        resources = [shown.of(_render(base, row)) for row in rows]
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
        return await answer(_known(group_id), projection())

    @blueprint.put("/Groups/<group_id>")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_request(GroupDocument)
    @document_response(GroupDocument)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 404)
    async def replace(group_id: str) -> Response:
        """Replace a group and its members (RFC 7644 section 3.5.1)."""
        shown = projection()
        known = _known(group_id)
        attributes, members = await sent()
        await usecases.replace_group(container, users, caller(), known, attributes, members)
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
        shown = projection(excluded=MEMBERS)
        known = _known(group_id)
        changes, operations = split_member_operations(parse_patch(await _body()))
        await usecases.patch_group(container, users, engine, caller(), known, read_orders(changes), operations)
        return await answer(known, shown)

    @blueprint.delete("/Groups/<group_id>")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_response(ErrorDocument, 404)
    async def delete(group_id: str) -> Response:
        """Delete a group (RFC 7644 section 3.6)."""
        await usecases.delete_group(container, caller(), _known(group_id))
        return Response(b"", 204)

    return blueprint


def _known(group_id: str) -> UUID:
    known = parse_id(group_id)
    if known is None:
        raise not_found()
    return known


async def _body() -> dict[str, object]:
    require_json(request.content_type)
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return parse(body)


def _users_url(base: str) -> str:
    return f"{base}/Users/"


async def _page(
    container: AppContainer[GroupsConfig], users_url: str, page: Page, where: Sql | None, members: bool
) -> tuple[int, list[StoredGroup]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        if where is None:
            total = await store.count_groups(connection, tenant)
            return total, await store.list_groups(
                connection, tenant, users_url, page.offset, page.count, members=members
            )
        rows = await store.find_groups(connection, tenant, users_url, where, page.offset, page.count, members=members)
        if page.offset == 0 and len(rows) < page.count:
            return len(rows), rows  # these are all: no need to count
        return await store.count_found(connection, tenant, where), rows


def _render(base: str, row: StoredGroup) -> bytes:
    members = row["members"]
    return render(
        row["resource"],
        id=str(row["id"]),
        resource_type=RESOURCE_TYPE.name,
        created=row["created_at"],
        modified=row["modified_at"],
        version=row["version"],
        location=f"{base}/Groups/{row['id']}",
        extra="" if members is None else f'"members":[{members}]',
    )
