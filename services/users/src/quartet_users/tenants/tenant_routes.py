"""Routes of tenants: platform administrators create, list, rename, suspend, resume and delete them."""

from operator import attrgetter
from typing import get_args

from quart import Blueprint, Response
from quart_schema import document_querystring, document_request, document_response, tag

from quartet_common.auth.scopes import PLATFORM_ADMIN
from quartet_common.core.caller import Caller
from quartet_common.core.errors import ForbiddenError, NotFoundError
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.core.validation_messages import shown
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, principal, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.pages import next_cursor, read_page, read_parameters
from quartet_common.web.query_parameters import BadParameterError
from quartet_common.web.responses import json_response
from quartet_users.config import UsersConfig
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.tenants import tenant_store, tenant_usecases
from quartet_users.tenants.tenant_domain import Status
from quartet_users.tenants.tenant_models import (
    CreatedTenantDocument,
    PatchBody,
    TenantBody,
    TenantDocument,
    TenantListDocument,
    TenantPatch,
    TenantQuery,
    TenantRequest,
    created_document,
    document_of,
)

STATUSES: tuple[Status, ...] = get_args(Status)

blueprint = Blueprint("tenants", __name__, url_prefix="/users")


@blueprint.post("/tenants")
@requires(PLATFORM_ADMIN)
@tag(["Tenants"])
@document_request(TenantRequest)
@document_response(CreatedTenantDocument, 201)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 409)
@idempotent
async def create() -> Response:
    """Create a tenant; its secrets are in this response and are not shown again."""
    container = app_container(UsersConfig)
    who, wanted = _platform(), (await read_json(TenantBody)).wanted()
    made = await tenant_usecases.create_tenant(container, dependency(Passwords), who, wanted)
    headers = {"Location": f"{container.config.issuer}/users/tenants/{made.tenant.id}"}
    return json_response(created_document(made), 201, headers=headers)


@blueprint.get("/tenants")
@requires(PLATFORM_ADMIN)
@tag(["Tenants"])
@document_querystring(TenantQuery)
@document_response(TenantListDocument)
@document_response(ProblemDocument, 400)
async def list_() -> Response:
    """List all tenants, or those of one status, by id, in pages."""
    _platform()
    given = read_parameters("status", "cursor", "count")
    status = _status(given.get("status"))
    context = ["users.tenants", status or ""]
    after, count = read_page(given, context, "")
    async with app_container(UsersConfig).database.connection() as connection:
        found = await tenant_store.list_tenants(connection, status, after, count + 1)
    onward = next_cursor(found, count, context, attrgetter("id"))
    return json_response(TenantListDocument([document_of(one) for one in found[:count]], onward))


@blueprint.get("/tenants/<tenant>")
@requires(PLATFORM_ADMIN)
@tag(["Tenants"])
@document_response(TenantDocument)
@document_response(ProblemDocument, 404)
async def read(tenant: str) -> Response:
    """Read a tenant."""
    _platform()
    async with app_container(UsersConfig).database.connection() as connection:
        found = await tenant_store.read_tenant(connection, tenant)
    if found is None:
        raise NotFoundError
    return json_response(document_of(found))


@blueprint.patch("/tenants/<tenant>")
@requires(PLATFORM_ADMIN)
@tag(["Tenants"])
@document_request(TenantPatch)
@document_response(TenantDocument)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def rename(tenant: str) -> Response:
    """Rename a tenant."""
    container = app_container(UsersConfig)
    who, display_name = _platform(), (await read_json(PatchBody)).display_name
    return json_response(document_of(await tenant_usecases.rename_tenant(container, who, tenant, display_name)))


@blueprint.post("/tenants/<tenant>/suspend")
@requires(PLATFORM_ADMIN)
@tag(["Tenants"])
@document_response(TenantDocument)
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def suspend(tenant: str) -> Response:
    """Suspend a tenant: all services refuse its tokens until it is resumed."""
    container = app_container(UsersConfig)
    return json_response(document_of(await tenant_usecases.suspend_tenant(container, _platform(), tenant)))


@blueprint.post("/tenants/<tenant>/resume")
@requires(PLATFORM_ADMIN)
@tag(["Tenants"])
@document_response(TenantDocument)
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def resume(tenant: str) -> Response:
    """Resume a suspended tenant: tokens that have not expired are valid again."""
    container = app_container(UsersConfig)
    return json_response(document_of(await tenant_usecases.resume_tenant(container, _platform(), tenant)))


@blueprint.delete("/tenants/<tenant>")
@requires(PLATFORM_ADMIN)
@tag(["Tenants"])
@document_response(TenantDocument, 202)
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def delete(tenant: str) -> Response:
    """Delete a tenant: its tokens are refused at once, its data is removed in the background."""
    container = app_container(UsersConfig)
    return json_response(document_of(await tenant_usecases.delete_tenant(container, _platform(), tenant)), 202)


def _platform() -> Caller:
    """The caller, whose token must be of the platform: a second check, since no other token has the scope."""
    if principal().tenant != SYSTEM_TENANT:
        raise ForbiddenError(PLATFORM_ADMIN)
    return caller()


def _status(text: str | None) -> Status | None:
    for status in STATUSES:
        if text == status:
            return status
    if text is not None:
        raise BadParameterError("status", f"must be one of {', '.join(STATUSES)}, got {shown(text)}")
    return None
