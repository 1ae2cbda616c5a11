"""Discovery documents: ServiceProviderConfig, ResourceTypes and Schemas (RFC 7644 4, RFC 7643 5 to 7)."""

from collections.abc import Iterable
from typing import Any

from quartet_scim.paging import DEFAULT_COUNT, MAX_COUNT
from quartet_scim.render import LIST_RESPONSE_SCHEMA
from quartet_scim.schema import Attribute, ResourceType, Schema, Type

CONFIG_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
RESOURCE_TYPE_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
SCHEMA_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Schema"


def service_provider_config(
    base_url: str,
    *,
    patch: bool = False,
    bulk_operations: int = 0,
    bulk_payload_bytes: int = 0,
    filter_results: int = MAX_COUNT,
    change_password: bool = False,
    sort: bool = False,
    etag: bool = False,
    cursors: bool = False,
    documentation_uri: str | None = None,
) -> dict[str, Any]:
    """The ServiceProviderConfig (RFC 7643 5, RFC 9865 4) of the server whose SCIM root is base_url (https://.../scim/v2).

    Every feature is off until the caller says that it works. bulk_operations 0 means that Bulk is not supported;
    filter_results 0 that filters are not.
    """
    documentation = {} if documentation_uri is None else {"documentationUri": documentation_uri}
    return {
        "schemas": [CONFIG_SCHEMA],
        **documentation,
        "patch": {"supported": patch},
        "bulk": {
            "supported": bulk_operations > 0,
            "maxOperations": bulk_operations,
            "maxPayloadSize": bulk_payload_bytes,
        },
        "filter": {"supported": filter_results > 0, "maxResults": filter_results},
        "changePassword": {"supported": change_password},
        "sort": {"supported": sort},
        "etag": {"supported": etag},
        "pagination": {
            "cursor": cursors,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_COUNT,
            "maxPageSize": MAX_COUNT,
        },
        "authenticationSchemes": [_bearer_token()],
        "meta": _meta("ServiceProviderConfig", f"{_root(base_url)}/ServiceProviderConfig"),
    }


def resource_type_document(base_url: str, resource_type: ResourceType) -> dict[str, Any]:
    """One resource type (RFC 7643 6); its extensions are optional."""
    location = f"{_root(base_url)}/ResourceTypes/{resource_type.name}"
    return {
        "schemas": [RESOURCE_TYPE_SCHEMA],
        "id": resource_type.name,
        "name": resource_type.name,
        "description": resource_type.description,
        "endpoint": resource_type.endpoint,
        "schema": resource_type.schema.id,
        "schemaExtensions": [{"schema": schema.id, "required": False} for schema in resource_type.extensions],
        "meta": _meta("ResourceType", location),
    }


def schema_document(base_url: str, schema: Schema) -> dict[str, Any]:
    """One schema (RFC 7643 7)."""
    return {
        "schemas": [SCHEMA_SCHEMA],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": attribute_documents(schema),
        "meta": _meta("Schema", f"{_root(base_url)}/Schemas/{schema.id}"),
    }


def attribute_documents(schema: Schema) -> list[dict[str, Any]]:
    """The attributes of one schema, with all of their characteristics."""
    return [_attribute(attribute) for attribute in schema.attributes]


def resource_types(base_url: str, known: Iterable[ResourceType]) -> dict[str, Any]:
    """The response of /ResourceTypes: all of them in one ListResponse."""
    return _list([resource_type_document(base_url, one) for one in known])


def schemas(base_url: str, known: Iterable[ResourceType]) -> dict[str, Any]:
    """The response of /Schemas: every core schema and extension of the known resource types, each once."""
    distinct = {schema.id: schema for one in known for schema in (one.schema, *one.extensions)}
    return schema_list(base_url, distinct.values())


def schema_list(base_url: str, some: Iterable[Schema]) -> dict[str, Any]:
    """Schemas in one ListResponse."""
    return _list([schema_document(base_url, schema) for schema in some])


def _list(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schemas": [LIST_RESPONSE_SCHEMA],
        "totalResults": len(documents),
        "startIndex": 1,
        "itemsPerPage": len(documents),
        "Resources": documents,
    }


def _attribute(attribute: Attribute) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": attribute.name,
        "type": attribute.type.value,
        "multiValued": attribute.multi_valued,
        "description": attribute.description,
        "required": attribute.required,
        "mutability": attribute.mutability.value,
        "returned": attribute.returned.value,
        "uniqueness": attribute.uniqueness.value,
    }
    if attribute.type in (Type.STRING, Type.REFERENCE, Type.BINARY):
        document["caseExact"] = attribute.case_exact
    if attribute.canonical_values:
        document["canonicalValues"] = list(attribute.canonical_values)
    if attribute.reference_types:
        document["referenceTypes"] = list(attribute.reference_types)
    if attribute.sub_attributes:
        document["subAttributes"] = [_attribute(sub) for sub in attribute.sub_attributes]
    return document


def _bearer_token() -> dict[str, Any]:
    return {
        "type": "oauthbearertoken",
        "name": "OAuth Bearer Token",
        "description": "An access token from /oauth2/token in the Authorization header.",
        "specUri": "https://www.rfc-editor.org/info/rfc6750",
        "primary": True,
    }


def _meta(resource_type: str, location: str) -> dict[str, str]:
    return {"resourceType": resource_type, "location": location}


def _root(base_url: str) -> str:
    return base_url.rstrip("/")
