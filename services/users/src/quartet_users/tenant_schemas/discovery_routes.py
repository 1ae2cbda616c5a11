"""Routes of SCIM discovery (RFC 7644 section 4); public, since clients read them before they have a token."""

from typing import Any

import orjson
from quart import Blueprint, Response, request
from quart_schema import document_response, tag

from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import optional_principal, public
from quartet_scim.api_models import ErrorDocument
from quartet_scim.bulk import MAX_OPERATIONS
from quartet_scim.discovery import (
    resource_type_document,
    resource_types,
    schema_document,
    schemas,
    service_provider_config,
)
from quartet_scim.errors import ScimError, not_found
from quartet_scim.http import CONTENT_TYPE
from quartet_scim.schema import ResourceType, group_resource_type, user_resource_type
from quartet_users.config import UsersConfig
from quartet_users.tenant_schemas.user_types import UserTypes

COMMON = (user_resource_type(), group_resource_type())
"""The resource types without extensions of tenants."""

blueprint = Blueprint("discovery", __name__, url_prefix="/scim/v2")


@blueprint.get("/ServiceProviderConfig")
@public
@tag(["SCIM discovery"])
@document_response(dict[str, Any])
async def config_document() -> Response:
    """Read which features are supported."""
    _refuse_filter()
    return _json(
        service_provider_config(
            _base(),
            patch=True,
            bulk_operations=MAX_OPERATIONS,
            bulk_payload_bytes=app_container(UsersConfig).config.max_body_bytes,
            change_password=True,
            sort=True,
            etag=True,
            cursors=True,
        )
    )


@blueprint.get("/ResourceTypes")
@public
@tag(["SCIM discovery"])
@document_response(dict[str, Any])
async def all_types() -> Response:
    """List the resource types: User and Group."""
    _refuse_filter()
    return _json(resource_types(_base(), await _known()))


@blueprint.get("/ResourceTypes/<name>")
@public
@tag(["SCIM discovery"])
@document_response(dict[str, Any])
@document_response(ErrorDocument, 404)
async def one_type(name: str) -> Response:
    """Read a resource type."""
    _refuse_filter()
    return _one({one.name: resource_type_document(_base(), one) for one in await _known()}.get(name))


@blueprint.get("/Schemas")
@public
@tag(["SCIM discovery"])
@document_response(dict[str, Any])
async def all_schema_documents() -> Response:
    """List the schemas of all resource types."""
    _refuse_filter()
    return _json(schemas(_base(), await _known()))


@blueprint.get("/Schemas/<urn>")
@public
@tag(["SCIM discovery"])
@document_response(dict[str, Any])
@document_response(ErrorDocument, 404)
async def one_schema(urn: str) -> Response:
    """Read a schema by its URN."""
    _refuse_filter()
    known = [schema for one in await _known() for schema in (one.schema, *one.extensions)]
    return _one(next((schema_document(_base(), one) for one in known if one.id.lower() == urn.lower()), None))


def _one(document: dict[str, Any] | None) -> Response:
    if document is None:
        raise not_found()
    return _json(document)


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), content_type=CONTENT_TYPE)


async def _known() -> tuple[ResourceType, ...]:
    """The resource types of the caller's tenant; those without extensions for a request without a token."""
    who = await optional_principal(app_container(UsersConfig).verifier)
    if who is None:
        return COMMON
    return ((await dependency(UserTypes).current(who.tenant)).resource_type, *COMMON[1:])


def _refuse_filter() -> None:
    if "filter" in request.args:
        raise ScimError(403, "Discovery resources cannot be filtered (RFC 7644 section 4).")


def _base() -> str:
    return f"{app_container(UsersConfig).config.issuer}/scim/v2"
