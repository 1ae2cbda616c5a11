"""SCIM routes of users: create, read, replace, delete, list (RFC 7644 section 3)."""

from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.guard import caller, requires
from quartet_common.container import AppContainer
from quartet_common.ids import parse_id
from quartet_scim.documents import ErrorDocument, ListQuery
from quartet_scim.errors import not_found
from quartet_scim.filters import fold, parse_eq
from quartet_scim.http import CONTENT_TYPE, require_json
from quartet_scim.json import dump, parse
from quartet_scim.normalise import Normaliser
from quartet_scim.paging import Page, parse_page
from quartet_scim.render import etag, list_response, render
from quartet_scim.schema import user_resource_type
from quartet_users import store, usecases
from quartet_users.config import UsersConfig
from quartet_users.domain import User
from quartet_users.passwords import Passwords
from quartet_users.routes.documents import UserDocument, UserListDocument
from quartet_users.store import StoredUser

RESOURCE_TYPE = "User"
FILTERED = ("id", "userName", "externalId")


def scim_blueprint(container: AppContainer[UsersConfig]) -> Blueprint:
    """Routes under `/scim/v2/Users`."""
    blueprint = Blueprint("scim", __name__)
    normaliser = Normaliser(user_resource_type())
    passwords = Passwords()
    base = f"{container.config.issuer}/scim/v2/Users"

    @blueprint.post("/Users")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_request(UserDocument)
    @document_response(UserDocument, 201)
    @document_response(ErrorDocument, 400)
    @document_response(ErrorDocument, 409)
    async def create() -> Response:
        """Create a user (RFC 7644 section 3.3)."""
        sent = normaliser.normalise(await _body())
        user = await usecases.create_user(container, passwords, caller(), sent)
        return _answer(_render_user(base, user), 201, user.version, f"{base}/{user.id}")

    @blueprint.get("/Users")
    @requires("users:read")
    @tag(["SCIM users"])
    @document_querystring(ListQuery)
    @document_response(UserListDocument)
    @document_response(ErrorDocument, 400)
    async def list_() -> Response:
        """List users by page, or find those whose id, userName or externalId equals a value (RFC 7644 3.4.2)."""
        page = parse_page(request.args.get("startIndex"), request.args.get("count"))
        text = request.args.get("filter")
        total, rows = await (_listed(container, page) if text is None else _found(container, page, text))
        resources = [_render_row(base, row) for row in rows]
        body = list_response(resources, total=total, start_index=page.start_index, items_per_page=len(resources))
        return Response(body, content_type=CONTENT_TYPE)

    @blueprint.get("/Users/<user_id>")
    @requires("users:read")
    @tag(["SCIM users"])
    @document_response(UserDocument)
    @document_response(ErrorDocument, 404)
    async def read(user_id: str) -> Response:
        """Read a user (RFC 7644 section 3.4.1)."""
        row = await _read(container, user_id)
        if row is None:
            raise not_found()
        return _answer(_render_row(base, row), 200, row["version"], f"{base}/{row['id']}")

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
        known = parse_id(user_id)
        if known is None:
            raise not_found()
        sent = normaliser.normalise(await _body())
        user = await usecases.replace_user(container, passwords, caller(), known, sent)
        return _answer(_render_user(base, user), 200, user.version, f"{base}/{user.id}")

    @blueprint.delete("/Users/<user_id>")
    @requires("users:write")
    @tag(["SCIM users"])
    @document_response(ErrorDocument, 404)
    async def delete(user_id: str) -> Response:
        """Delete a user (RFC 7644 section 3.6)."""
        known = parse_id(user_id)
        if known is None:
            raise not_found()
        await usecases.delete_user(container, caller(), known)
        return Response(b"", 204)

    return blueprint


async def _body() -> dict[str, object]:
    require_json(request.content_type)
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return parse(body)


async def _read(container: AppContainer[UsersConfig], user_id: str) -> StoredUser | None:
    known = parse_id(user_id)
    if known is None:
        return None
    async with container.database.connection() as connection:
        return await store.read_user(connection, caller().tenant, known)


async def _listed(container: AppContainer[UsersConfig], page: Page) -> tuple[int, list[StoredUser]]:
    tenant = caller().tenant
    async with container.database.connection() as connection:
        total = await store.count_users(connection, tenant)
        rows = await store.list_users(connection, tenant, page.offset, page.count) if page.count else []
    return total, rows


async def _found(container: AppContainer[UsersConfig], page: Page, text: str) -> tuple[int, list[StoredUser]]:
    wanted = parse_eq(text, FILTERED)
    tenant = caller().tenant
    if wanted.attribute == "id":
        row = await _read(container, wanted.value)
        rows = [] if row is None else [row]
    else:
        async with container.database.connection() as connection:
            if wanted.attribute == "userName":
                rows = await store.find_by_user_name(connection, tenant, fold(wanted.value))
            else:
                rows = await store.find_by_external_id(connection, tenant, wanted.value)
    return len(rows), rows[page.offset : page.offset + page.count]


def _render_user(base: str, user: User) -> bytes:
    return render(
        dump(user.attributes),
        id=str(user.id),
        resource_type=RESOURCE_TYPE,
        created=user.created,
        modified=user.modified,
        version=user.version,
        location=f"{base}/{user.id}",
    )


def _render_row(base: str, row: StoredUser) -> bytes:
    return render(
        row["resource"],
        id=str(row["id"]),
        resource_type=RESOURCE_TYPE,
        created=row["created_at"],
        modified=row["modified_at"],
        version=row["version"],
        location=f"{base}/{row['id']}",
    )


def _answer(body: bytes, status: int, version: int, location: str) -> Response:
    response = Response(body, status, content_type=CONTENT_TYPE)
    response.headers["ETag"] = etag(version)
    response.headers["Location" if status == 201 else "Content-Location"] = location
    return response
