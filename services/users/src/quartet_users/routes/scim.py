"""SCIM routes of users: create, read, replace, patch, delete, list (RFC 7644 section 3)."""

from uuid import UUID

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.guard import caller, requires
from quartet_common.container import AppContainer
from quartet_common.ids import parse_id
from quartet_scim.documents import ErrorDocument, ListQuery, PatchDocument, ProjectionQuery
from quartet_scim.errors import not_found
from quartet_scim.filters import Resolver, Sql, to_sql
from quartet_scim.filters import parse as parse_filter
from quartet_scim.http import CONTENT_TYPE, require_json
from quartet_scim.json import dump, parse
from quartet_scim.normalise import Normaliser
from quartet_scim.paging import Page, parse_page
from quartet_scim.patch import PatchEngine, parse_patch
from quartet_scim.projection import Projection, Projector
from quartet_scim.render import etag, list_response, render
from quartet_scim.schema import user_resource_type
from quartet_users import store, usecases
from quartet_users.config import UsersConfig
from quartet_users.domain import User
from quartet_users.passwords import Passwords
from quartet_users.routes.documents import UserDocument, UserListDocument
from quartet_users.store import StoredUser

RESOURCE_TYPE = user_resource_type()


def scim_blueprint(container: AppContainer[UsersConfig]) -> Blueprint:
    """Routes under `/scim/v2/Users`."""
    blueprint = Blueprint("scim", __name__)
    normaliser = Normaliser(RESOURCE_TYPE)
    engine = PatchEngine(RESOURCE_TYPE)
    resolver = Resolver(RESOURCE_TYPE)
    projector = Projector(RESOURCE_TYPE)
    passwords = Passwords()
    base = f"{container.config.issuer}/scim/v2/Users"

    def projection() -> Projection:
        return projector.parse(request.args.get("attributes"), request.args.get("excludedAttributes"))

    @blueprint.post("/Users")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_request(UserDocument)
    @document_response(UserDocument, 201)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 409)
    async def create() -> Response:
        """Create a user (RFC 7644 section 3.3)."""
        shown = projection()
        sent = normaliser.normalise(await _body())
        user = await usecases.create_user(container, passwords, caller(), sent)
        return _answer(_render_user(base, user), shown, user.version, f"{base}/{user.id}", 201)

    @blueprint.get("/Users")
    @requires("users:read")
    @tag(["SCIM users"])
    @document_querystring(ListQuery)
    @document_response(UserListDocument)
    @document_response(ErrorDocument, 400)
    async def list_() -> Response:
        """List users by page, all of them or those that a filter finds (RFC 7644 section 3.4.2)."""
        page = parse_page(request.args.get("startIndex"), request.args.get("count"))
        shown = projection()
        text = request.args.get("filter")
        where = None if text is None else to_sql(resolver.resolve(parse_filter(text)), store.SEARCHED, 2)
        total, rows = await (_listed(container, page) if where is None else _found(container, page, where))
        resources = [shown.of(_render_row(base, row)) for row in rows]
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
        shown = projection()
        known = _known(user_id)
        async with container.database.connection() as connection:
            row = await store.read_user(connection, caller().tenant, known)
        if row is None:
            raise not_found()
        return _answer(_render_row(base, row), shown, row["version"], f"{base}/{known}")

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
        shown = projection()
        known = _known(user_id)
        sent = normaliser.normalise(await _body())
        user = await usecases.replace_user(container, passwords, caller(), known, sent)
        return _answer(_render_user(base, user), shown, user.version, f"{base}/{user.id}")

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
        shown = projection()
        known = _known(user_id)
        operations = parse_patch(await _body())
        user = await usecases.patch_user(container, passwords, engine, caller(), known, operations)
        return _answer(_render_user(base, user), shown, user.version, f"{base}/{user.id}")

    @blueprint.delete("/Users/<user_id>")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_response(ErrorDocument, 404)
    async def delete(user_id: str) -> Response:
        """Delete a user (RFC 7644 section 3.6)."""
        await usecases.delete_user(container, caller(), _known(user_id))
        return Response(b"", 204)

    return blueprint


def _known(user_id: str) -> UUID:
    known = parse_id(user_id)
    if known is None:
        raise not_found()
    return known


async def _body() -> dict[str, object]:
    require_json(request.content_type)
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return parse(body)


async def _listed(container: AppContainer[UsersConfig], page: Page) -> tuple[int, list[StoredUser]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        total = await store.count_users(connection, tenant)
        rows = await store.list_users(connection, tenant, page.offset, page.count) if page.count else []
    return total, rows


async def _found(container: AppContainer[UsersConfig], page: Page, where: Sql) -> tuple[int, list[StoredUser]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        rows = await store.find_users(connection, tenant, where, page.offset, page.count)
        if page.offset == 0 and len(rows) < page.count:
            return len(rows), rows  # these are all: no need to count
        return await store.count_found(connection, tenant, where), rows


def _render_user(base: str, user: User) -> bytes:
    return render(
        dump(user.attributes),
        id=str(user.id),
        resource_type=RESOURCE_TYPE.name,
        created=user.created,
        modified=user.modified,
        version=user.version,
        location=f"{base}/{user.id}",
    )


def _render_row(base: str, row: StoredUser) -> bytes:
    return render(
        row["resource"],
        id=str(row["id"]),
        resource_type=RESOURCE_TYPE.name,
        created=row["created_at"],
        modified=row["modified_at"],
        version=row["version"],
        location=f"{base}/{row['id']}",
    )


def _answer(body: bytes, shown: Projection, version: int, location: str, status: int = 200) -> Response:
    response = Response(shown.of(body), status, content_type=CONTENT_TYPE)
    response.headers["ETag"] = etag(version)
    response.headers["Location" if status == 201 else "Content-Location"] = location
    return response
