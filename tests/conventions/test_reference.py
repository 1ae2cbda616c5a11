"""The API documentation: every body has an example, every parameter a description, and texts are plain."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from quart import Quart

from quartet_cli.layout import SERVICES
from quartet_common.web.openapi import REFERENCE
from quartet_scim.errors import ERROR_SCHEMA

Operation = tuple[str, dict[str, Any]]


@pytest.fixture
async def operations(apps: dict[str, Quart]) -> list[Operation]:
    """All operations by their method and path."""
    return [one for service in SERVICES for one in operations_of(await document(apps[service], service))]


async def document(app: Quart, service: str) -> dict[str, Any]:
    found: dict[str, Any] = await (await app.test_client().get(f"/{service}/openapi.json")).get_json()
    return found


def operations_of(found: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def texts(part: Any, name: str = "") -> Iterator[str]:
    """Every summary and description in a part of a document."""
    if isinstance(part, dict):
        for key, one in part.items():
            yield from texts(one, key)
    elif isinstance(part, list):
        for one in part:
            yield from texts(one)
    elif name in ("summary", "description") and isinstance(part, str):
        yield part


async def test_every_request_body_has_an_example_that_its_schema_allows(operations: list[Operation]) -> None:
    seen = 0
    for name, operation in operations:
        for body in operation.get("requestBody", {}).get("content", {}).values():
            seen += 1
            example, schema = body.get("example"), body["schema"]
            assert isinstance(example, dict), name
            assert set(schema.get("required", ())) <= example.keys(), name
            assert example.keys() <= schema["properties"].keys() | {"description"}, name
            assert '["string"]' not in json.dumps(example), name
    assert seen > 30


async def test_every_example_belongs_to_an_operation(apps: dict[str, Quart], operations: list[Operation]) -> None:
    known = {name for name, operation in operations if "requestBody" in operation}
    assert {name for app in apps.values() for name in app.extensions[REFERENCE].examples} == known


async def test_every_parameter_is_described(operations: list[Operation]) -> None:
    for name, operation in operations:
        for parameter in operation["parameters"]:
            assert len(parameter.get("description", "")) > 10, f"{name}: {parameter['name']}"


@pytest.mark.parametrize("service", SERVICES)
async def test_texts_hold_no_marks_that_would_be_shown(apps: dict[str, Quart], service: str) -> None:
    found = list(texts(await document(apps[service], service)))
    assert len(found) > 20
    assert not [text for text in found if "`" in text]


async def test_the_example_of_an_error_has_the_status_of_its_response(operations: list[Operation]) -> None:
    seen = set()
    for name, operation in operations:
        for status, response in operation["responses"].items():
            for media, body in response.get("content", {}).items() if status >= "400" else ():
                seen.add(media)
                example = body["example"]
                if isinstance(example.get("code"), int):
                    continue  # a google.rpc.Status, which has a code of gRPC
                if "error" not in example:  # of OAuth, which has no status in it
                    assert str(example["status"]) == status, name
                if media == "application/scim+json":
                    assert example["schemas"] == [ERROR_SCHEMA]
                assert msgspec.json.encode(example)
    assert seen == {"application/problem+json", "application/scim+json", "application/json"}
