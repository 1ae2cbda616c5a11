"""SCIM routes of one user: create, read, replace, patch, delete (RFC 7644 section 3), and `/Me` (section 3.11)."""

from uuid import UUID

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.identifiers import parse_id
from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_scim.api_models import ErrorDocument, PatchDocument, ProjectionQuery
from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import ScimError, not_found
from quartet_scim.patch import parse_patch
from quartet_scim.projection import Projection
from quartet_scim_http.requests import Body, known_id, read_if_match, read_mentions, read_projection
from quartet_scim_http.responses import resource_response
from quartet_users.config import UsersConfig
from quartet_users.memberships import membership_store
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.tenant_schemas.user_types import UserTypes
from quartet_users.users import user_store, user_usecases
from quartet_users.users.user_domain import User
from quartet_users.users.user_models import UserDocument
from quartet_users.users.user_view import UserView

BODY_PER_USER = 4
"""The size limit of a body as a multiple of that of a stored user: bodies have escapes, and values not stored."""
ME = {"user_id": None}
"""The user id of the path `/Me` (RFC 7644 section 3.11)."""

blueprint = Blueprint("scim", __name__, url_prefix="/scim/v2")


def max_body() -> int:
    """The size limit of a body with a user in bytes."""
    return BODY_PER_USER * app_container(UsersConfig).config.max_user_bytes


@blueprint.post("/Users")
@requires("users:write")
@takes(max_body)
@tag(["SCIM users"])
@document_request(UserDocument)
@document_response(UserDocument, 201)
@document_response(ErrorDocument, 400)
@document_response(ErrorDocument, 409)
@idempotent
async def create() -> Response:
    """Create a user (RFC 7644 section 3.3)."""
    container = app_container(UsersConfig)
    body, user_type = await _sent()
    shown = read_projection(user_type.projector)
    wanted = await body.work(user_type.normaliser.normalise)
    return _answer(await user_usecases.create_user(container, dependency(Passwords), caller(), wanted), shown, 201)


@blueprint.get("/Users/<user_id>")
@requires("users:read")
@tag(["SCIM users"])
@document_querystring(ProjectionQuery)
@document_response(UserDocument)
@document_response(ErrorDocument, 404)
async def read(user_id: str) -> Response:
    """Read a user (RFC 7644 section 3.4.1)."""
    return await _read(known_id(user_id))


@blueprint.get("/Me")
@requires("users:read", person=True)
@tag(["SCIM users"])
@document_querystring(ProjectionQuery)
@document_response(UserDocument)
@document_response(ErrorDocument, 404)
async def read_me() -> Response:
    """Read the caller's own user (RFC 7644 section 3.11); users need no scope for it."""
    return await _read(_wanted(None))


@blueprint.put("/Users/<user_id>")
@blueprint.put("/Me", defaults=ME)
@requires("users:write")
@takes(max_body)
@tag(["SCIM users"])
@document_request(UserDocument)
@document_response(UserDocument)
@document_response(ErrorDocument, 400)
@document_response(ErrorDocument, 404)
@document_response(ErrorDocument, 409)
async def replace(user_id: str | None) -> Response:
    """Replace a user (RFC 7644 section 3.5.1)."""
    container = app_container(UsersConfig)
    known = _wanted(user_id)
    body, user_type = await _sent()
    shown = read_projection(user_type.projector)
    wanted = await body.work(user_type.normaliser.normalise)
    user = await user_usecases.replace_user(container, dependency(Passwords), caller(), known, wanted, read_if_match())
    return _answer(user, shown, groups=await _groups_of(user, shown))


@blueprint.patch("/Users/<user_id>")
@blueprint.patch("/Me", defaults=ME)
@requires("users:write")
@takes(max_body)
@tag(["SCIM users"])
@document_request(PatchDocument)
@document_response(UserDocument)
@document_response(ErrorDocument, 400)
@document_response(ErrorDocument, 404)
@document_response(ErrorDocument, 409)
async def patch(user_id: str | None) -> Response:
    """Change a user by add, replace and remove operations, all or none (RFC 7644 section 3.5.2)."""
    known = _wanted(user_id)
    body, user_type = await _sent()
    shown = read_projection(user_type.projector)
    operations = await body.work(parse_patch)
    user = await user_usecases.patch_user(
        app_container(UsersConfig),
        dependency(Passwords),
        user_type.engine,
        caller(),
        known,
        operations,
        read_if_match(),
        is_large=body.is_large,
    )
    return _answer(user, shown, groups=await _groups_of(user, shown))


@blueprint.delete("/Users/<user_id>")
@blueprint.delete("/Me", defaults=ME)
@requires("users:write")
@tag(["SCIM users"])
@document_response(ErrorDocument, 404)
async def delete(user_id: str | None) -> Response:
    """Delete a user (RFC 7644 section 3.6)."""
    await user_usecases.delete_user(app_container(UsersConfig), caller(), _wanted(user_id), read_if_match())
    return Response(b"", 204)


@blueprint.post("/Me")
@requires("users:write")
@tag(["SCIM users"])
@document_response(ErrorDocument, 501)
async def create_me() -> Response:
    """Not supported: 501 (RFC 7644 section 3.11)."""
    raise ScimError(501, "Create users at /Users. The user of the access token exists already.")


async def _sent() -> tuple[Body, CompiledType]:
    body = await Body.read()
    return body, await dependency(UserTypes).of(caller().tenant, await body.work(read_mentions))


async def _read(known: UUID) -> Response:
    tenant, view = caller().tenant, dependency(UserView)
    shown = read_projection((await dependency(UserTypes).of(tenant, read_mentions())).projector)
    async with app_container(UsersConfig).database.connection() as connection:
        row = await user_store.read_user(connection, tenant, known, view.groups_url(shown))
    if row is None:
        raise not_found()
    return resource_response(view.of_row(row), shown, version=row["version"], location=view.location(known))


def _answer(user: User, shown: Projection, status: int = 200, groups: str | None = None) -> Response:
    view = dependency(UserView)
    rendered, location = view.of_user(user, groups), view.location(user.id)
    return resource_response(rendered, shown, version=user.version, location=location, status=status)


async def _groups_of(user: User, shown: Projection) -> str | None:
    """The groups of a changed user as JSON, if `shown` has them."""
    groups_url = dependency(UserView).groups_url(shown)
    if groups_url is None:
        return None
    async with app_container(UsersConfig).database.connection() as connection:
        return await membership_store.read_groups(connection, caller().tenant, groups_url, user.id)


def _wanted(user_id: str | None) -> UUID:
    """The id in the path; for `/Me` that of the caller's user. Raises ScimError 404."""
    if user_id is not None:
        return known_id(user_id)
    me = parse_id(caller().actor)
    if me is None:
        raise not_found("The access token does not belong to a user, so /Me has no resource.")
    return me
