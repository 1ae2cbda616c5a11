"""Routes of tenant schemas: extensions of User with attributes of the tenant's own."""

from typing import Any

from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_common.web.bodies import takes
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.responses import json_response
from quartet_scim.discovery import schema_document, schema_list
from quartet_scim.errors import not_found
from quartet_scim.schema import Schema
from quartet_scim.schema_registration import read_schema
from quartet_scim_http.requests import read_body
from quartet_users.config import UsersConfig
from quartet_users.tenant_schemas import schema_store, schema_usecases
from quartet_users.tenant_schemas.schema_models import SchemaDocument
from quartet_users.tenant_schemas.user_types import UserTypes

MAX_SCHEMA_BYTES = 256 * 1024
"""The maximum size of a schema in bytes."""

blueprint = Blueprint("schemas", __name__, url_prefix="/users")


@blueprint.post("/schemas")
@requires("tenant:admin")
@takes(MAX_SCHEMA_BYTES)
@tag(["Tenant schemas"])
@document_request(SchemaDocument)
@document_response(SchemaDocument, 201)
@document_response(ProblemDocument, 400)
@document_response(ProblemDocument, 409)
@idempotent
async def create() -> Response:
    """Register a schema that extends User (RFC 7643 section 7)."""
    container = app_container(UsersConfig)
    schema = read_schema(await read_body())
    await schema_usecases.register_schema(container, caller(), schema)
    dependency(UserTypes).forget(caller().tenant)
    headers = {"Location": f"{container.config.issuer}/users/schemas/{schema.id}"}
    return json_response(schema_document(_base(), schema), 201, headers=headers)


@blueprint.get("/schemas")
@requires("tenant:admin")
@tag(["Tenant schemas"])
@document_response(dict[str, Any])
async def list_() -> Response:
    """List the tenant's own schemas in the order of registration."""
    return json_response(schema_list(_base(), await _registered()))


@blueprint.get("/schemas/<urn>")
@requires("tenant:admin")
@tag(["Tenant schemas"])
@document_response(SchemaDocument)
@document_response(ProblemDocument, 404)
async def read(urn: str) -> Response:
    """Read one of the tenant's own schemas."""
    found = next((schema for schema in await _registered() if schema.id.lower() == urn.lower()), None)
    if found is None:
        raise not_found()
    return json_response(schema_document(_base(), found))


@blueprint.delete("/schemas/<urn>")
@requires("tenant:admin")
@tag(["Tenant schemas"])
@document_response(ProblemDocument, 404)
@document_response(ProblemDocument, 409)
async def delete(urn: str) -> Response:
    """Delete one of the tenant's own schemas; 409 while a user has values of it."""
    await schema_usecases.delete_schema(app_container(UsersConfig), caller(), urn)
    dependency(UserTypes).forget(caller().tenant)
    return Response(b"", 204)


async def _registered() -> list[Schema]:
    async with app_container(UsersConfig).database.connection() as connection:
        return await schema_store.read_schemas(connection, caller().tenant)


def _base() -> str:
    return f"{app_container(UsersConfig).config.issuer}/scim/v2"
