"""SCIM routes of groups: create, read, replace, delete, list (RFC 7644 section 3)."""

from uuid import UUID

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.guard import caller, requires
from quartet_common.container import AppContainer
from quartet_common.ids import parse_id
from quartet_groups import store, usecases
from quartet_groups.clients import UserDirectory
from quartet_groups.config import GroupsConfig
from quartet_groups.domain import split_members
from quartet_groups.routes.documents import GroupDocument, GroupListDocument
from quartet_groups.store import StoredGroup
from quartet_scim.documents import ErrorDocument, ListQuery
from quartet_scim.errors import not_found
from quartet_scim.filters import parse_eq
from quartet_scim.http import CONTENT_TYPE, require_json
from quartet_scim.json import parse
from quartet_scim.normalise import Normaliser
from quartet_scim.paging import Page, parse_page
from quartet_scim.render import etag, list_response, render
from quartet_scim.resource import Attributes
from quartet_scim.schema import group_resource_type

RESOURCE_TYPE = "Group"
FILTERED = ("id", "displayName", "externalId")


def scim_blueprint(container: AppContainer[GroupsConfig], users: UserDirectory) -> Blueprint:
    """Routes under `/scim/v2/Groups`."""
    blueprint = Blueprint("scim", __name__)
    normaliser = Normaliser(group_resource_type())
    base = f"{container.config.issuer}/scim/v2"

    async def sent() -> tuple[Attributes, list[UUID]]:
        require_json(request.content_type)
        body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
        return split_members(normaliser.normalise(parse(body)).attributes)

    async def answer(group_id: UUID, status: int = 200) -> Response:
        row = await _read(container, base, group_id)
        if row is None:
            raise not_found()
        response = Response(_render(base, row), status, content_type=CONTENT_TYPE)
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
        attributes, members = await sent()
        return await answer(await usecases.create_group(container, users, caller(), attributes, members), 201)

    @blueprint.get("/Groups")
    @requires("groups:read")
    @tag(["SCIM groups"])
    @document_querystring(ListQuery)
    @document_response(GroupListDocument)
    @document_response(ErrorDocument, 400)
    async def list_() -> Response:
        """List groups by page, or find those whose id, displayName or externalId equals a value (RFC 7644 3.4.2)."""
        page = parse_page(request.args.get("startIndex"), request.args.get("count"))
        text = request.args.get("filter")
        total, rows = await (_listed(container, base, page) if text is None else _found(container, base, page, text))
        resources = [_render(base, row) for row in rows]
        body = list_response(resources, total=total, start_index=page.start_index, items_per_page=len(resources))
        return Response(body, content_type=CONTENT_TYPE)

    @blueprint.get("/Groups/<group_id>")
    @requires("groups:read")
    @tag(["SCIM groups"])
    @document_response(GroupDocument)
    @document_response(ErrorDocument, 404)
    async def read(group_id: str) -> Response:
        """Read a group with its members (RFC 7644 section 3.4.1)."""
        return await answer(_known(group_id))

    @blueprint.put("/Groups/<group_id>")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_request(GroupDocument)
    @document_response(GroupDocument)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 404)
    async def replace(group_id: str) -> Response:
        """Replace a group and its members (RFC 7644 section 3.5.1)."""
        known = _known(group_id)
        attributes, members = await sent()
        await usecases.replace_group(container, users, caller(), known, attributes, members)
        return await answer(known)

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


def _users_url(base: str) -> str:
    return f"{base}/Users/"


async def _read(container: AppContainer[GroupsConfig], base: str, group_id: UUID) -> StoredGroup | None:
    async with container.database.connection() as connection:
        return await store.read_group(connection, caller().tenant, _users_url(base), group_id)


async def _listed(container: AppContainer[GroupsConfig], base: str, page: Page) -> tuple[int, list[StoredGroup]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        total = await store.count_groups(connection, tenant)
        if not page.count:
            return total, []
        return total, await store.list_groups(connection, tenant, _users_url(base), page.offset, page.count)


async def _found(
    container: AppContainer[GroupsConfig], base: str, page: Page, text: str
) -> tuple[int, list[StoredGroup]]:
    wanted = parse_eq(text, FILTERED)
    tenant = caller().tenant
    if wanted.attribute == "id":
        known = parse_id(wanted.value)
        row = await _read(container, base, known) if known is not None else None
        rows = [] if row is None else [row]
        return len(rows), rows[page.offset : page.offset + page.count]
    async with container.database.connection() as connection:
        total = await store.count_found(connection, tenant, wanted.attribute, wanted.value)
        found = await store.find_groups(
            connection, tenant, _users_url(base), wanted.attribute, wanted.value, page.offset, page.count
        )
    return total, found


def _render(base: str, row: StoredGroup) -> bytes:
    members = row["members"]
    return render(
        row["resource"],
        id=str(row["id"]),
        resource_type=RESOURCE_TYPE,
        created=row["created_at"],
        modified=row["modified_at"],
        version=row["version"],
        location=f"{base}/Groups/{row['id']}",
        extra="" if members is None else f'"members":[{members}]',
    )
