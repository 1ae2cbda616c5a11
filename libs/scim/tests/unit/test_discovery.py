"""Discovery: what the server says about itself, read by an independent implementation."""

import json

import pytest
from scim2_models import Context, ListResponse, ResourceType, Schema, ServiceProviderConfig

from quartet_scim import schema
from quartet_scim.discovery import (
    resource_type_document,
    resource_types,
    schema_document,
    schemas,
    service_provider_config,
)
from quartet_scim.json import dump

BASE = "https://example.com/scim/v2"
KNOWN = (schema.user_resource_type(), schema.group_resource_type())
READ = Context.RESOURCE_QUERY_RESPONSE


def test_nothing_but_filters_is_supported_until_the_caller_says_so() -> None:
    config = ServiceProviderConfig.model_validate_json(dump(service_provider_config(BASE)), scim_ctx=READ)
    features = [config.patch, config.bulk, config.change_password, config.sort, config.etag]
    assert [feature and feature.supported for feature in features] == [False] * 5
    assert config.filter is not None
    assert (config.filter.supported, config.filter.max_results) == (True, 200)
    assert config.bulk is not None
    assert (config.bulk.max_operations, config.bulk.max_payload_size) == (0, 0)


@pytest.mark.parametrize("feature", ["patch", "change_password", "sort", "etag"])
def test_a_feature_that_works_is_announced_and_no_other(feature: str) -> None:
    plain = service_provider_config(BASE)
    config = service_provider_config(BASE, **{feature: True})  # type: ignore[arg-type] # all four are booleans
    changed = {key for key in config if config[key] != plain[key]}
    assert changed == {"changePassword" if feature == "change_password" else feature}


def test_bulk_is_supported_when_it_takes_operations_and_filters_when_they_give_results() -> None:
    config = service_provider_config(BASE, bulk_operations=1_000, bulk_payload_bytes=2**20, filter_results=0)
    assert config["bulk"] == {"supported": True, "maxOperations": 1_000, "maxPayloadSize": 2**20}
    assert config["filter"] == {"supported": False, "maxResults": 0}


def test_pages_are_by_index_and_by_cursor_once_there_are_cursors() -> None:
    pages = service_provider_config(BASE, cursors=True)["pagination"]
    assert service_provider_config(BASE)["pagination"] == {**pages, "cursor": False}
    assert pages == {
        "cursor": True,
        "index": True,
        "defaultPaginationMethod": "index",
        "defaultPageSize": 100,
        "maxPageSize": 200,
    }


def test_the_way_in_is_a_bearer_token() -> None:
    config = ServiceProviderConfig.model_validate(service_provider_config(BASE), scim_ctx=READ)
    assert config.authentication_schemes is not None
    assert [scheme.type for scheme in config.authentication_schemes] == ["oauthbearertoken"]


def test_documentation_is_linked_where_there_is_some() -> None:
    assert "documentationUri" not in service_provider_config(BASE)
    linked = service_provider_config(BASE, documentation_uri="https://example.com/users/docs")
    assert linked["documentationUri"] == "https://example.com/users/docs"


@pytest.mark.parametrize("base", [BASE, BASE + "/"])
def test_every_location_is_absolute_and_below_the_base_url(base: str) -> None:
    documents = [
        service_provider_config(base),
        *resource_types(base, KNOWN)["Resources"],
        *schemas(base, KNOWN)["Resources"],
    ]
    assert [document["meta"]["location"] for document in documents] == [
        f"{BASE}/ServiceProviderConfig",
        f"{BASE}/ResourceTypes/User",
        f"{BASE}/ResourceTypes/Group",
        f"{BASE}/Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
        f"{BASE}/Schemas/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        f"{BASE}/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group",
    ]


def test_the_oracle_reads_the_resource_types() -> None:
    listed = ListResponse[ResourceType].model_validate_json(dump(resource_types(BASE, KNOWN)), scim_ctx=READ)
    assert listed.total_results == 2
    assert [(one.id, one.endpoint) for one in listed.resources or []] == [("User", "/Users"), ("Group", "/Groups")]
    extensions = resource_type_document(BASE, KNOWN[0])["schemaExtensions"]
    assert [(one["schema"].split(":")[-3], one["required"]) for one in extensions] == [("enterprise", False)]


def test_the_oracle_reads_the_schemas_each_of_which_is_listed_once() -> None:
    listed = ListResponse[Schema].model_validate_json(dump(schemas(BASE, KNOWN * 2)), scim_ctx=READ)
    assert [one.name for one in listed.resources or []] == ["User", "EnterpriseUser", "Group"]


@pytest.mark.parametrize("known", [schema.user_schema(), schema.enterprise_user_schema(), schema.group_schema()])
def test_a_schema_reads_back_from_its_document(known: schema.Schema) -> None:
    assert schema.Schema.from_document(json.loads(dump(schema_document(BASE, known)))) == known
