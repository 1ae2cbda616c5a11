"""Routes of grants: list, grant and revoke a role, and list the roles of a user."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import NIL_ID, require_id
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.groups_client import GroupDirectory
from quartet_users.roles import grant_store, role_store, role_usecases
from quartet_users.roles.grant_store import Row
from quartet_users.roles.role_models import (
    GrantDocument,
    GrantListDocument,
    HeldRoleDocument,
    NewGrantBody,
    NewGrantDocument,
    RolePageQuery,
    RolesOfDocument,
    WayDocument,
)
from quartet_users.roles.role_routes import decider

blueprint = Blueprint("role_grants", __name__, url_prefix="/users")


@blueprint.get("/roles/<role_id>/grants")
@requires("tenant:admin")
@tag(["Roles"])
@document_querystring(RolePageQuery)
@document_response(GrantListDocument)
async def list_(role_id: str) -> Response:
    """List the users and groups that have a role by id, in pages."""
    tenant, role = caller().tenant, require_id(role_id)
    context = ["users.roles.grants", tenant, str(role)]
    after, count = read_page(read_parameters("cursor", "count"), context, NIL_ID)
    async with app_container(UsersConfig).database.connection() as connection:
        if await role_store.read_role(connection, tenant, role) is None:
            raise NotFoundError
        rows = await grant_store.read_grants(connection, tenant, role, after, count + 1)
    onward = next_cursor(rows, count, context, itemgetter("grantee_id"))
    return json_response(GrantListDocument([_grant(row) for row in rows[:count]], onward))


@blueprint.post("/roles/<role_id>/grants")
@requires("tenant:admin")
@tag(["Roles"])
@document_request(NewGrantDocument)
@document_response(GrantDocument)
@document_response(GrantDocument, 201)
@idempotent
async def give(role_id: str) -> Response:
    """Grant a role to a user or a group and its members, also nested ones; 200 if it was granted before."""
    container = app_container(UsersConfig)
    body, role = await read_json(NewGrantBody), require_id(role_id)
    is_new = await role_usecases.give_role(container, dependency(GroupDirectory), decider(), role, body.type, body.id)
    async with container.database.connection() as connection:
        row = await grant_store.read_grant(connection, caller().tenant, role, body.id)
    if row is None:  # revoked in the meantime
        raise NotFoundError
    return json_response(_grant(row), 201 if is_new else 200)


@blueprint.delete("/roles/<role_id>/grants/<grantee_id>")
@requires("tenant:admin")
@tag(["Roles"])
@document_response(ProblemDocument, 409)
async def take(role_id: str, grantee_id: str) -> Response:
    """Revoke a role from a user or a group; access tokens of users who lose a scope are refused."""
    await role_usecases.take_role(app_container(UsersConfig), decider(), require_id(role_id), require_id(grantee_id))
    return Response(b"", 204)


@blueprint.get("/roles/of/<user_id>")
@requires("tenant:admin")
@tag(["Roles"])
@document_response(RolesOfDocument)
async def of(user_id: str) -> Response:
    """List the roles and scopes of a user, and the groups through which the user has them."""
    tenant, user = caller().tenant, require_id(user_id)
    async with app_container(UsersConfig).database.connection() as connection:
        if not await grant_store.user_exists(connection, tenant, user):
            raise NotFoundError
        rows = await grant_store.read_ways(connection, tenant, user)
    held = [_held(str(user), list(some)) for _, some in groupby(rows, key=lambda row: row["id"])]
    scopes = sorted({scope for role in held for scope in role.scopes})
    return json_response(RolesOfDocument(str(user), scopes, held))


def _grant(row: Row) -> GrantDocument:
    return GrantDocument(
        row["grantee_type"], str(row["grantee_id"]), row["display"], row["granted_at"].isoformat(), row["granted_by"]
    )


def _held(user: str, rows: list[Row]) -> HeldRoleDocument:
    first = rows[0]
    return HeldRoleDocument(str(first["id"]), first["name"], sorted(first["scopes"]), list(_ways(user, rows)))


def _ways(user: str, rows: list[Row]) -> Iterable[WayDocument]:
    for row in rows:
        group = row["group_id"]
        yield WayDocument("User", user, None) if group is None else WayDocument("Group", str(group), row["display"])
