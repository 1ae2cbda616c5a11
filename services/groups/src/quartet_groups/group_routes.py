"""SCIM routes of one group: create, read, replace, patch, delete (RFC 7644 section 3)."""

from uuid import UUID

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.offload import work_on
from quartet_common.runtime.container import AppContainer
from quartet_common.web.bodies import ANY_SIZE, takes
from quartet_common.web.guard import caller, requires
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
"""Members that the answer to a PATCH shows unasked: it must not cost what the group holds."""
EVERYTHING = Projection(is_everything=True, kept=None, left_out={})
"""For what was projected already."""


def scim_blueprint(
    container: AppContainer[GroupsConfig], users: UserDirectory, group_type: CompiledType, view: GroupView
) -> Blueprint:
    """Routes under `/scim/v2/Groups`."""
    blueprint = Blueprint("scim", __name__)

    async def sent() -> tuple[Attributes, list[SentMember]]:
        return await work_on(await read_bytes(), read_group)

    def read_group(body: bytes) -> tuple[Attributes, list[SentMember]]:
        return split_members(group_type.normaliser.normalise(parse(body)).attributes)

    def read_patch(body: bytes) -> GroupPatch:
        return GroupPatch.of(group_type.engine, parse_patch(parse(body)))

    def patch_members(shown: Projection) -> str:
        """The SQL of the members that a PATCH answers: if nothing is said of them, few or none."""
        is_asked = read_projection(group_type.projector, excluded=MEMBERS).wants(MEMBERS)
        if shown.wants(MEMBERS) and not is_asked:
            return view.members.column_if_few(MAX_ANSWERED)
        return view.members.column(is_asked)

    async def answer(group_id: UUID, shown: Projection, members: str, status: int = 200) -> Response:
        async with container.database.connection() as connection:
            row = await group_store.read_group(connection, caller().tenant, group_id, members)
        if row is None:
            raise not_found()
        return await shown_as(row, shown, status)

    def wanted_members(shown: Projection) -> str:
        return view.members.column(shown.wants(MEMBERS))

    async def shown_as(row: StoredGroup, shown: Projection, status: int = 200) -> Response:
        wanted = await work_on(view.of_row(row), shown.of)
        location = view.location(row["id"])
        return resource_response(wanted, EVERYTHING, version=row["version"], location=location, status=status)

    @blueprint.post("/Groups")
    @requires("groups:write")
    @takes(ANY_SIZE)
    @tag(["SCIM groups"])
    @document_request(GroupDocument)
    @document_response(GroupDocument, 201)
    @document_response(ErrorDocument, 400)
    async def create() -> Response:
        """Create a group (RFC 7644 section 3.3)."""
        shown = read_projection(group_type.projector)
        attributes, members = await sent()
        group_id = await group_usecases.create_group(container, users, caller(), attributes, members)
        return await answer(group_id, shown, wanted_members(shown), 201)

    @blueprint.get("/Groups/<group_id>")
    @requires("groups:read")
    @tag(["SCIM groups"])
    @document_querystring(ProjectionQuery)
    @document_response(GroupDocument)
    @document_response(ErrorDocument, 404)
    async def read(group_id: str) -> Response:
        """Read a group with its members (RFC 7644 section 3.4.1)."""
        shown = read_projection(group_type.projector)
        return await answer(known_id(group_id), shown, wanted_members(shown))

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
        shown = read_projection(group_type.projector)
        known = known_id(group_id)
        attributes, members = await sent()
        await group_usecases.replace_group(container, users, caller(), known, attributes, members, read_if_match())
        return await answer(known, shown, wanted_members(shown))

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
        shown = read_projection(group_type.projector)
        known = known_id(group_id)
        members = patch_members(shown)
        change = await work_on(await read_bytes(), read_patch)
        _, row = await group_usecases.patch_group(container, users, caller(), known, change, read_if_match(), members)
        return await (answer(known, shown, members) if row is None else shown_as(row, shown))

    @blueprint.delete("/Groups/<group_id>")
    @requires("groups:write")
    @tag(["SCIM groups"])
    @document_response(ErrorDocument, 404)
    async def delete(group_id: str) -> Response:
        """Delete a group (RFC 7644 section 3.6)."""
        await group_usecases.delete_group(container, users, caller(), known_id(group_id), read_if_match())
        return Response(b"", 204)

    return blueprint
