"""Discovery: what the SCIM server supports (RFC 7644 section 4); public, since clients read it first."""

from typing import Any

import orjson
from quart import Blueprint, Response, request
from quart_schema import document_response, security_scheme, tag

from quartet_common.config import ServiceConfig
from quartet_scim.bulk import MAX_OPERATIONS
from quartet_scim.discovery import (
    resource_type_document,
    resource_types,
    schema_document,
    schemas,
    service_provider_config,
)
from quartet_scim.documents import ErrorDocument
from quartet_scim.errors import ScimError, not_found
from quartet_scim.http import CONTENT_TYPE
from quartet_scim.schema import group_resource_type, user_resource_type


def discovery_blueprint(config: ServiceConfig) -> Blueprint:
    """`/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas`."""
    blueprint = Blueprint("discovery", __name__)
    base = f"{config.issuer}/scim/v2"
    known = (user_resource_type(), group_resource_type())
    types_by_name = {one.name: resource_type_document(base, one) for one in known}
    all_schemas = {schema.id: schema for one in known for schema in (one.schema, *one.extensions)}
    schemas_by_id = {urn: schema_document(base, schema) for urn, schema in all_schemas.items()}

    def refuse_filter() -> None:
        if "filter" in request.args:
            raise ScimError(403, "Discovery resources cannot be filtered (RFC 7644 section 4).")

    @blueprint.get("/ServiceProviderConfig")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    async def config_document() -> Response:
        """What is supported."""
        refuse_filter()
        return _json(
            service_provider_config(
                base,
                patch=True,
                bulk_operations=MAX_OPERATIONS,
                bulk_payload_bytes=config.max_body_bytes,
                change_password=True,
            )
        )

    @blueprint.get("/ResourceTypes")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    async def all_types() -> Response:
        """The resource types: User and Group."""
        refuse_filter()
        return _json(resource_types(base, known))

    @blueprint.get("/ResourceTypes/<name>")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    @document_response(ErrorDocument, 404)
    async def one_type(name: str) -> Response:
        """One resource type."""
        return _one(types_by_name.get(name))

    @blueprint.get("/Schemas")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    async def all_schema_documents() -> Response:
        """The schemas of all resource types."""
        refuse_filter()
        return _json(schemas(base, known))

    @blueprint.get("/Schemas/<urn>")
    @security_scheme([])
    @tag(["SCIM discovery"])
    @document_response(dict[str, Any])
    @document_response(ErrorDocument, 404)
    async def one_schema(urn: str) -> Response:
        """One schema by its URN."""
        return _one(schemas_by_id.get(urn))

    return blueprint


def _one(document: dict[str, Any] | None) -> Response:
    if document is None:
        raise not_found()
    return _json(document)


def _json(document: dict[str, Any]) -> Response:
    return Response(orjson.dumps(document), content_type=CONTENT_TYPE)
