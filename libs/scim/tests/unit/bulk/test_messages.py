"""Bulk messages: what is a BulkRequest, and what is said of an operation that is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.bulk import BULK_REQUEST_SCHEMA, MAX_OPERATIONS, BulkOperation, Method, make_plan, parse_bulk
from quartet_scim.errors import ScimError
from quartet_scim.patch import PATCH_SCHEMA

ENDPOINTS = ("/Users", "/Groups")
POST = {"method": "POST", "path": "/Users", "bulkId": "a", "data": {}}


def message(*operations: Any, **others: Any) -> dict[str, Any]:
    return {"schemas": [BULK_REQUEST_SCHEMA], "Operations": list(operations), **others}


def parsed(operation: Any) -> BulkOperation:
    [found] = parse_bulk(message(operation), ENDPOINTS).operations
    return found


def test_operations_keep_their_order_and_what_they_say() -> None:
    put = {"method": "PUT", "path": "/Groups/1", "version": 'W/"2"', "data": {"displayName": "Guides"}}
    found = parse_bulk(message(POST, put, failOnErrors=3), ENDPOINTS)
    assert found.fail_on_errors == 3
    assert found.operations == [
        BulkOperation(0, Method.POST, "/Users", None, "a", None, {}, None),
        BulkOperation(1, Method.PUT, "/Groups", "1", None, 'W/"2"', {"displayName": "Guides"}, None),
    ]


@pytest.mark.parametrize("word", ["post", "Post", "POST"])
def test_methods_and_names_may_be_of_any_case(word: str) -> None:
    sent = {"METHOD": word, "Path": "/Users", "BULKID": "a", "DATA": {}}
    found = parse_bulk({"SCHEMAS": [BULK_REQUEST_SCHEMA.upper()], "operations": sent}, ENDPOINTS).operations
    assert [(one.method, one.bulk_id, one.fault) for one in found] == [(Method.POST, "a", None)]


@pytest.mark.parametrize("path", ["/Users/1", "Users/1", "/Users/1/", "/scim/v2/Users/1", " /Users/1 "])
def test_a_path_may_be_written_in_many_ways(path: str) -> None:
    found = parsed({"method": "DELETE", "path": path})
    assert (found.endpoint, found.target, found.fault) == ("/Users", "1", None)


def test_a_patch_may_be_the_bare_list_of_its_operations_as_in_the_rfc() -> None:
    operations = [{"op": "remove", "path": "nickName"}]
    found = parsed({"method": "PATCH", "path": "/Users/1", "data": operations})
    assert (found.data, found.fault) == ({"schemas": [PATCH_SCHEMA], "Operations": operations}, None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"schemas": [BULK_REQUEST_SCHEMA]}, 400),
        ({"schemas": ["urn:other"], "Operations": [POST]}, 400),
        (message(), 400),
        ({"schemas": [BULK_REQUEST_SCHEMA], "Operations": "x"}, 400),
        (message(POST, failOnErrors=-1), 400),
        (message(POST, failOnErrors=True), 400),
        (message(POST, failOnErrors="1"), 400),
        (message(POST, failOnErrors=1.5), 400),
        (message(*[POST] * (MAX_OPERATIONS + 1)), 413),
        ({"schemas": [BULK_REQUEST_SCHEMA], "Operations": [POST], "operations": [POST]}, 400),
    ],
)
def test_a_message_that_is_no_bulk_is_refused_as_a_whole(body: dict[str, Any], status: int) -> None:
    with pytest.raises(ScimError) as caught:
        parse_bulk(body, ENDPOINTS)
    assert caught.value.status == status


def test_the_error_of_too_many_operations_has_the_limit() -> None:
    with pytest.raises(ScimError, match=r"maxOperations \(1000\)"):
        parse_bulk(message(*[POST] * (MAX_OPERATIONS + 1)), ENDPOINTS)
    assert len(parse_bulk(message(*[POST] * MAX_OPERATIONS), ENDPOINTS).operations) == MAX_OPERATIONS


@pytest.mark.parametrize(
    ("sent", "scim_type"),
    [
        ("x", "invalidSyntax"),
        (None, "invalidSyntax"),
        ({}, "invalidSyntax"),
        ({**POST, "method": "GET"}, "invalidSyntax"),
        ({**POST, "method": 1}, "invalidSyntax"),
        ({**POST, "path": "/Me"}, "invalidPath"),
        ({**POST, "path": "/Bulk"}, "invalidPath"),
        ({**POST, "path": "/users"}, "invalidPath"),
        ({**POST, "path": ""}, "invalidPath"),
        ({**POST, "path": None}, "invalidPath"),
        ({**POST, "path": "/Users/1"}, "invalidPath"),
        ({"method": "PUT", "path": "/Users", "data": {}}, "invalidPath"),
        ({"method": "DELETE", "path": "/Users/1/2"}, "invalidPath"),
        ({"method": "POST", "path": "/Users"}, "invalidSyntax"),
        ({**POST, "data": "x"}, "invalidSyntax"),
        ({**POST, "bulkId": 1}, "invalidValue"),
        ({**POST, "bulkId": ""}, "invalidValue"),
        ({"method": "DELETE", "path": "/Users/1", "version": 1}, "invalidVers"),
        ({**POST, "Method": "PUT"}, "invalidSyntax"),
    ],
)
def test_a_fault_of_one_operation_is_its_own(sent: Any, scim_type: str) -> None:
    bad, good = parse_bulk(message(sent, POST), ENDPOINTS).operations
    assert bad.fault is not None
    assert (bad.fault.status, bad.fault.scim_type) == (400, scim_type)
    assert good.fault is None


def test_fail_on_errors_of_0_is_no_limit() -> None:
    assert parse_bulk(message(POST, failOnErrors=0), ENDPOINTS).fail_on_errors is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
words = st.sampled_from(["POST", "PATCH", "delete", "/Users", "/Groups/", "/Users/bulkId:a", "bulkId:a", "a", 'W/"1"'])
names = st.sampled_from(["method", "Method", "path", "bulkId", "version", "data", "other"])


@given(st.lists(anything | st.dictionaries(names, words | anything), min_size=1, max_size=5))
def test_whatever_is_sent_is_planned_or_the_fault_of_its_operation(operations: list[Any]) -> None:
    found = make_plan(parse_bulk(message(*operations), ENDPOINTS).operations, ENDPOINTS, lambda: "made")
    assert sorted(index for step in found.steps for index in step) == list(range(len(operations)))
    assert all(one.fault is not None or one.id is not None for one in found.operations)


@given(st.dictionaries(st.sampled_from(["schemas", "Operations", "failOnErrors"]), anything))
def test_whatever_is_no_message_causes_nothing_but_scim_errors(body: dict[str, Any]) -> None:
    with pytest.raises(ScimError):
        parse_bulk(body, ENDPOINTS)
