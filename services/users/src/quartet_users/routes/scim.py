"""SCIM routes of users: create, read, replace, patch, delete, list (RFC 7644 section 3)."""

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.guard import caller, requires
from quartet_common.container import AppContainer
from quartet_scim.documents import ErrorDocument, ListQuery, PatchDocument, ProjectionQuery
from quartet_scim.errors import not_found
from quartet_scim.filters import Sql, to_sql
from quartet_scim.filters import parse as parse_filter
from quartet_scim.http import CONTENT_TYPE
from quartet_scim.paging import Page, parse_page
from quartet_scim.patch import parse_patch
from quartet_scim.projection import Projection
from quartet_scim.render import list_response
from quartet_scim_http.requests import known_id, read_body, read_if_match, read_mentions, read_projection
from quartet_scim_http.responses import resource_response
from quartet_users import memberships, store, usecases
from quartet_users.config import UsersConfig
from quartet_users.domain import User
from quartet_users.passwords import Passwords
from quartet_users.resource_types import UserTypes
from quartet_users.routes.documents import UserDocument, UserListDocument
from quartet_users.store import StoredUser
from quartet_users.views import UserView


def scim_blueprint(
    container: AppContainer[UsersConfig], types: UserTypes, passwords: Passwords, view: UserView
) -> Blueprint:
    """Routes under `/scim/v2/Users`."""
    blueprint = Blueprint("scim", __name__)

    def answer(user: User, shown: Projection, status: int = 200, groups: str | None = None) -> Response:
        rendered, location = view.of_user(user, groups), view.location(user.id)
        return resource_response(rendered, shown, version=user.version, location=location, status=status)

    @blueprint.post("/Users")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_request(UserDocument)
    @document_response(UserDocument, 201)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 409)
    async def create() -> Response:
        """Create a user (RFC 7644 section 3.3)."""
        body = await read_body()
        user_type = await types.of(caller().tenant, read_mentions(body))
        shown = read_projection(user_type.projector)
        sent = user_type.normaliser.normalise(body)
        return answer(await usecases.create_user(container, passwords, caller(), sent), shown, 201)

    @blueprint.get("/Users")
    @requires("users:read")
    @tag(["SCIM users"])
    @document_querystring(ListQuery)
    @document_response(UserListDocument)
    @document_response(ErrorDocument, 400)
    async def list_() -> Response:
        """List users by page, all of them or those that a filter finds (RFC 7644 section 3.4.2)."""
        page = parse_page(request.args.get("startIndex"), request.args.get("count"))
        user_type = await types.of(caller().tenant, read_mentions())
        shown = read_projection(user_type.projector)
        text = request.args.get("filter")
        where = None if text is None else to_sql(user_type.resolver.resolve(parse_filter(text)), store.SEARCHED, 2)
        groups_url = view.groups_url(shown)
        listing = _listed(container, page, groups_url) if where is None else _found(container, page, where, groups_url)
        total, rows = await listing
        resources = [shown.of(view.of_row(row)) for row in rows]
        body = list_response(resources, total=total, start_index=page.start_index, items_per_page=len(resources))
        return Response(body, content_type=CONTENT_TYPE)

    @blueprint.get("/Users/<user_id>")
    @requires("users:read")
    @tag(["SCIM users"])
    @document_querystring(ProjectionQuery)
    @document_response(UserDocument)
    @document_response(ErrorDocument, 404)
    async def read(user_id: str) -> Response:
        """Read a user (RFC 7644 section 3.4.1)."""
        shown = read_projection((await types.of(caller().tenant, read_mentions())).projector)
        known = known_id(user_id)
        async with container.database.connection() as connection:
            row = await store.read_user(connection, caller().tenant, known, view.groups_url(shown))
        if row is None:
            raise not_found()
        return resource_response(view.of_row(row), shown, version=row["version"], location=view.location(known))

    @blueprint.put("/Users/<user_id>")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_request(UserDocument)
    @document_response(UserDocument)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 404)
    @document_response(ErrorDocument, 409)
    async def replace(user_id: str) -> Response:
        """Replace a user (RFC 7644 section 3.5.1)."""
        known = known_id(user_id)
        body = await read_body()
        user_type = await types.of(caller().tenant, read_mentions(body))
        shown = read_projection(user_type.projector)
        sent = user_type.normaliser.normalise(body)
        user = await usecases.replace_user(container, passwords, caller(), known, sent, read_if_match())
        return answer(user, shown, groups=await _groups_of(container, user, view.groups_url(shown)))

    @blueprint.patch("/Users/<user_id>")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_request(PatchDocument)
    @document_response(UserDocument)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 404)
    @document_response(ErrorDocument, 409)
    async def patch(user_id: str) -> Response:
        """Change a user by add, replace and remove operations, all or none (RFC 7644 section 3.5.2)."""
        known = known_id(user_id)
        body = await read_body()
        user_type = await types.of(caller().tenant, read_mentions(body))
        shown = read_projection(user_type.projector)
        operations = parse_patch(body)
        user = await usecases.patch_user(
            container, passwords, user_type.engine, caller(), known, operations, read_if_match()
        )
        return answer(user, shown, groups=await _groups_of(container, user, view.groups_url(shown)))

    @blueprint.delete("/Users/<user_id>")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_response(ErrorDocument, 404)
    async def delete(user_id: str) -> Response:
        """Delete a user (RFC 7644 section 3.6)."""
        await usecases.delete_user(container, caller(), known_id(user_id), read_if_match())
        return Response(b"", 204)

    return blueprint


async def _listed(
    container: AppContainer[UsersConfig], page: Page, groups_url: str | None
) -> tuple[int, list[StoredUser]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        total = await store.count_users(connection, tenant)
        rows = await store.list_users(connection, tenant, page.offset, page.count, groups_url) if page.count else []
    return total, rows


async def _found(
    container: AppContainer[UsersConfig], page: Page, where: Sql, groups_url: str | None
) -> tuple[int, list[StoredUser]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        rows = await store.find_users(connection, tenant, where, page.offset, page.count, groups_url)
        if page.offset == 0 and len(rows) < page.count:
            return len(rows), rows  # these are all: no need to count
        return await store.count_found(connection, tenant, where), rows


async def _groups_of(container: AppContainer[UsersConfig], user: User, groups_url: str | None) -> str | None:
    """What a user that was changed belongs to, if it is wanted."""
    if groups_url is None:
        return None
    async with container.database.connection() as connection:
        return await memberships.read_groups(connection, caller().tenant, groups_url, user.id)
