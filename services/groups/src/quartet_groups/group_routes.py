"""SCIM routes of one group: create, read, replace, patch, delete (RFC 7644 section 3)."""

from uuid import UUID

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.offload import work_on
from quartet_common.web.bodies import ANY_SIZE, takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_groups import group_store, group_usecases
from quartet_groups.config import GroupsConfig
from quartet_groups.group_domain import GroupPatch
from quartet_groups.group_models import GroupDocument
from quartet_groups.group_store import StoredGroup
from quartet_groups.group_view import GroupView
from quartet_groups.member_domain import SentMember, split_members
from quartet_groups.users_client import UserDirectory
from quartet_scim.api_models import ErrorDocument, PatchDocument, ProjectionQuery
from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import not_found
from quartet_scim.json import parse
from quartet_scim.patch import parse_patch
from quartet_scim.projection import Projection
from quartet_scim.resource import Attributes
from quartet_scim_http.requests import known_id, read_bytes, read_if_match, read_projection
from quartet_scim_http.responses import resource_response

MEMBERS = "members"
MAX_ANSWERED = 100
"""Members up to which the response to a PATCH shows them by default: its cost must not grow with the group."""
EVERYTHING = Projection(is_everything=True, kept=None, left_out={})
"""For a resource that was projected before."""

blueprint = Blueprint("scim", __name__, url_prefix="/scim/v2")


@blueprint.post("/Groups")
@requires("groups:write")
@takes(ANY_SIZE)
@tag(["SCIM groups"])
@document_request(GroupDocument)
@document_response(GroupDocument, 201)
@document_response(ErrorDocument, 400)
@idempotent
async def create() -> Response:
    """Create a group (RFC 7644 section 3.3)."""
    shown = _projection()
    attributes, members = await _sent()
    container, users = app_container(GroupsConfig), dependency(UserDirectory)
    group_id = await group_usecases.create_group(container, users, caller(), attributes, members)
    return await _answer(group_id, shown, _members(shown), 201)


@blueprint.get("/Groups/<group_id>")
@requires("groups:read")
@tag(["SCIM groups"])
@document_querystring(ProjectionQuery)
@document_response(GroupDocument)
@document_response(ErrorDocument, 404)
async def read(group_id: str) -> Response:
    """Read a group with its members (RFC 7644 section 3.4.1)."""
    shown = _projection()
    return await _answer(known_id(group_id), shown, _members(shown))


@blueprint.put("/Groups/<group_id>")
@requires("groups:write")
@takes(ANY_SIZE)
@tag(["SCIM groups"])
@document_request(GroupDocument)
@document_response(GroupDocument)
@document_response(ErrorDocument, 400)
@document_response(ErrorDocument, 404)
async def replace(group_id: str) -> Response:
    """Replace a group and its members (RFC 7644 section 3.5.1)."""
    shown = _projection()
    known = known_id(group_id)
    attributes, members = await _sent()
    container, users = app_container(GroupsConfig), dependency(UserDirectory)
    await group_usecases.replace_group(container, users, caller(), known, attributes, members, read_if_match())
    return await _answer(known, shown, _members(shown))


@blueprint.patch("/Groups/<group_id>")
@requires("groups:write")
@takes(ANY_SIZE)
@tag(["SCIM groups"])
@document_request(PatchDocument)
@document_response(GroupDocument)
@document_response(ErrorDocument, 400)
@document_response(ErrorDocument, 404)
async def patch(group_id: str) -> Response:
    """Change a group by operations, all or none (RFC 7644 3.5.2); more than 100 members need `attributes`."""
    shown = _projection()
    known = known_id(group_id)
    members = _members_of_patch(shown)
    change = await _sent_patch()
    container, users = app_container(GroupsConfig), dependency(UserDirectory)
    _, row = await group_usecases.patch_group(container, users, caller(), known, change, read_if_match(), members)
    return await (_answer(known, shown, members) if row is None else _show(row, shown))


@blueprint.delete("/Groups/<group_id>")
@requires("groups:write")
@tag(["SCIM groups"])
@document_response(ErrorDocument, 404)
async def delete(group_id: str) -> Response:
    """Delete a group (RFC 7644 section 3.6)."""
    container, users = app_container(GroupsConfig), dependency(UserDirectory)
    await group_usecases.delete_group(container, users, caller(), known_id(group_id), read_if_match())
    return Response(b"", 204)


def _projection(excluded: str | None = None) -> Projection:
    return read_projection(dependency(CompiledType).projector, excluded)


async def _sent() -> tuple[Attributes, list[SentMember]]:
    normaliser = dependency(CompiledType).normaliser
    return await work_on(await read_bytes(), lambda body: split_members(normaliser.normalise(parse(body)).attributes))


async def _sent_patch() -> GroupPatch:
    engine = dependency(CompiledType).engine
    return await work_on(await read_bytes(), lambda body: GroupPatch.of(engine, parse_patch(parse(body))))


def _members(shown: Projection) -> str:
    return dependency(GroupView).members.column(shown.wants(MEMBERS))


def _members_of_patch(shown: Projection) -> str:
    """The SQL of the members in the response to a PATCH; by default only if they are few."""
    members = dependency(GroupView).members
    is_asked = _projection(excluded=MEMBERS).wants(MEMBERS)
    if shown.wants(MEMBERS) and not is_asked:
        return members.column_if_few(MAX_ANSWERED)
    return members.column(is_asked)


async def _answer(group_id: UUID, shown: Projection, members: str, status: int = 200) -> Response:
    async with app_container(GroupsConfig).database.connection() as connection:
        row = await group_store.read_group(connection, caller().tenant, group_id, members)
    if row is None:
        raise not_found()
    return await _show(row, shown, status)


async def _show(row: StoredGroup, shown: Projection, status: int = 200) -> Response:
    view = dependency(GroupView)
    wanted = await work_on(view.of_row(row), shown.of)
    location = view.location(row["id"])
    return resource_response(wanted, EVERYTHING, version=row["version"], location=location, status=status)
