"""Discovery: what the SCIM server supports (RFC 7644 section 4); public, since clients read it first."""

from typing import Any

import orjson
from quart import Blueprint, Response, request
from quart_schema import document_response, security_scheme, tag

from quartet_common.runtime.container import AppContainer
from quartet_common.web.guard import optional_principal
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


def discovery_blueprint(container: AppContainer[UsersConfig], types: UserTypes) -> Blueprint:
    """`/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas`; with a token, those of the token's tenant."""
    blueprint = Blueprint("discovery", __name__)
    config = container.config
    base = f"{config.issuer}/scim/v2"
    common = (user_resource_type(), group_resource_type())

    async def known() -> tuple[ResourceType, ...]:
        """The resource types of the caller's tenant; of none, if the request has no token."""
        who = await optional_principal(container.verifier)
        if who is None:
            return common
        return ((await types.current(who.tenant)).resource_type, *common[1:])

    def refuse_filter() -> None:
        if "filter" in request.args:
            raise ScimError(403, "Discovery resources cannot be filtered (RFC 7644 section 4).")

    @blueprint.get("/ServiceProviderConfig")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    async def config_document() -> Response:
        """Read which features are supported."""
        refuse_filter()
        return _json(
            service_provider_config(
                base,
                patch=True,
                bulk_operations=MAX_OPERATIONS,
                bulk_payload_bytes=config.max_body_bytes,
                change_password=True,
                sort=True,
                etag=True,
                cursors=True,
            )
        )

    @blueprint.get("/ResourceTypes")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    async def all_types() -> Response:
        """List the resource types: User and Group."""
        refuse_filter()
        return _json(resource_types(base, await known()))

    @blueprint.get("/ResourceTypes/<name>")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    @document_response(ErrorDocument, 404)
    async def one_type(name: str) -> Response:
        """Read a resource type."""
        refuse_filter()
        return _one({one.name: resource_type_document(base, one) for one in await known()}.get(name))

    @blueprint.get("/Schemas")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    async def all_schema_documents() -> Response:
        """List the schemas of all resource types."""
        refuse_filter()
        return _json(schemas(base, await known()))

    @blueprint.get("/Schemas/<urn>")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    @document_response(ErrorDocument, 404)
    async def one_schema(urn: str) -> Response:
        """Read a schema by its URN."""
        refuse_filter()
        return _one(
            next(
                (
                    schema_document(base, schema)
                    for one in await known()
                    for schema in (one.schema, *one.extensions)
                    if schema.id.lower() == urn.lower()
                ),
                None,
            )
        )

    return blueprint


def _one(document: dict[str, Any] | None) -> Response:
    if document is None:
        raise not_found()
    return _json(document)


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), content_type=CONTENT_TYPE)
