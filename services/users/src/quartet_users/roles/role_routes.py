"""Routes of roles: a tenant administrator creates, lists, changes and deletes them."""

from operator import attrgetter

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import NIL_ID, require_id
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import caller, principal, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.roles import role_domain, role_store, role_usecases
from quartet_users.roles.role_domain import Role
from quartet_users.roles.role_models import (
    NewRoleBody,
    NewRoleDocument,
    RoleChangeBody,
    RoleChangeDocument,
    RoleDocument,
    RoleListDocument,
    RolePageQuery,
)
from quartet_users.roles.role_usecases import Decider, RoleChange

blueprint = Blueprint("roles", __name__, url_prefix="/users")


@blueprint.post("/roles")
@requires("tenant:admin")
@tag(["Roles"])
@document_request(NewRoleDocument)
@document_response(RoleDocument, 201)
@document_response(ProblemDocument, 409)
@idempotent
async def create() -> Response:
    """Create a role: a named set of scopes."""
    container = app_container(UsersConfig)
    body = await read_json(NewRoleBody)
    role = role_domain.create(body.name, body.description, body.scopes, container.clock())
    await role_usecases.create_role(container, decider(), role)
    return json_response(_document(role), 201, headers={"Location": f"{container.config.issuer}/users/roles/{role.id}"})


@blueprint.get("/roles")
@requires("tenant:admin")
@tag(["Roles"])
@document_querystring(RolePageQuery)
@document_response(RoleListDocument)
async def list_() -> Response:
    """List the tenant's roles, oldest first, in pages."""
    tenant = caller().tenant
    context = ["users.roles", tenant]
    after, count = read_page(read_parameters("cursor", "count"), context, NIL_ID)
    async with app_container(UsersConfig).database.connection() as connection:
        found = await role_store.read_roles(connection, tenant, after, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return json_response(RoleListDocument([_document(role) for role in found[:count]], onward))


@blueprint.get("/roles/<role_id>")
@requires("tenant:admin")
@tag(["Roles"])
@document_response(RoleDocument)
async def read(role_id: str) -> Response:
    """Read a role."""
    async with app_container(UsersConfig).database.connection() as connection:
        role = await role_store.read_role(connection, caller().tenant, require_id(role_id))
    if role is None:
        raise NotFoundError
    return json_response(_document(role))


@blueprint.patch("/roles/<role_id>")
@requires("tenant:admin")
@tag(["Roles"])
@document_request(RoleChangeDocument)
@document_response(RoleDocument)
@document_response(ProblemDocument, 409)
async def change(role_id: str) -> Response:
    """Change a role; access tokens of users who lose a scope are refused."""
    container = app_container(UsersConfig)
    body = await read_json(RoleChangeBody)
    wanted = RoleChange(body.name, body.description, None if body.scopes is None else frozenset(body.scopes))
    return json_response(_document(await role_usecases.change_role(container, decider(), require_id(role_id), wanted)))


@blueprint.delete("/roles/<role_id>")
@requires("tenant:admin")
@tag(["Roles"])
@document_response(ProblemDocument, 409)
async def delete(role_id: str) -> Response:
    """Delete a role; all users and groups lose it."""
    await role_usecases.delete_role(app_container(UsersConfig), decider(), require_id(role_id))
    return Response(b"", 204)


def decider() -> Decider:
    """The caller of the current request, with the scopes of the token."""
    return Decider(caller(), principal().scopes)


def _document(role: Role) -> RoleDocument:
    return RoleDocument(
        str(role.id),
        role.name,
        role.description,
        sorted(role.scopes),
        role.version,
        role.created.isoformat(),
        role.modified.isoformat(),
    )
