"""PATCH messages: what is a PatchOp, and what is said of one that is none."""

from typing import Any

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.patch import PATCH_SCHEMA, Op, parse_patch
from quartet_scim.patch.messages import MAX_OPERATIONS, MAX_PATH_CHARACTERS

GOOD = {"op": "add", "path": "title", "value": "Guide"}


def refused(body: dict[str, Any]) -> ScimError:
    with pytest.raises(ScimError) as caught:
        parse_patch(body)
    assert caught.value.status == 400
    return caught.value


def message(*operations: Any) -> dict[str, Any]:
    return {"schemas": [PATCH_SCHEMA], "Operations": list(operations)}


def test_operations_keep_their_order_and_know_their_index() -> None:
    found = parse_patch(message(GOOD, {"op": "remove", "path": "nickName"}))
    assert [(one.op, one.path, one.value, one.index) for one in found] == [
        (Op.ADD, "title", "Guide", 0),
        (Op.REMOVE, "nickName", None, 1),
    ]


@pytest.mark.parametrize("word", ["add", "Add", "ADD", "replace", "Replace", "remove", "Remove"])
def test_an_op_may_be_of_any_case(word: str) -> None:
    assert parse_patch(message({**GOOD, "op": word}))[0].op == word.lower()


def test_names_may_be_of_any_case_and_operations_a_single_object() -> None:
    sent = {"SCHEMAS": [PATCH_SCHEMA.upper()], "operations": {"OP": "add", "Path": "title", "VALUE": "x"}}
    assert [(one.path, one.value) for one in parse_patch(sent)] == [("title", "x")]


@pytest.mark.parametrize("path", [None, "", "  "])
def test_an_empty_path_is_none(path: str | None) -> None:
    assert parse_patch(message({**GOOD, "path": path}))[0].path is None


@pytest.mark.parametrize("body", [{}, {"schemas": None}])
def test_schemas_may_be_missing(body: dict[str, Any]) -> None:
    assert [one.path for one in parse_patch({**body, "Operations": [GOOD]})] == ["title"]


def test_an_object_without_a_path_may_be_in_a_list() -> None:
    (found,) = parse_patch(message({"op": "replace", "value": [{"nickName": "N"}]}))
    assert found.value == {"nickName": "N"}


def test_a_remove_knows_whether_it_has_a_value() -> None:
    found = parse_patch(message(*({"op": "remove", "path": "emails", **more} for more in ({}, {"value": None}))))
    assert [one.names_value for one in found] == [False, True]


@pytest.mark.parametrize("schemas", [[], ["urn:other"], "urn:other", [1], {}, 1])
def test_a_message_that_is_no_patch_op_is_refused(schemas: Any) -> None:
    error = refused({"schemas": schemas, "Operations": [GOOD]})
    assert (error.scim_type, error.detail) == ("invalidSyntax", f"schemas must hold {PATCH_SCHEMA}.")


@pytest.mark.parametrize("operations", [None, [], "add", 1, [GOOD] * (MAX_OPERATIONS + 1)])
def test_a_message_has_1_to_1000_operations(operations: Any) -> None:
    assert refused({"schemas": [PATCH_SCHEMA], "Operations": operations}).scim_type == "invalidSyntax"
    assert len(parse_patch(message(*[GOOD] * MAX_OPERATIONS))) == MAX_OPERATIONS


@pytest.mark.parametrize(
    ("operation", "scim_type", "detail"),
    [
        (None, "invalidSyntax", "Operations[1] must be an object."),
        ([], "invalidSyntax", "Operations[1] must be an object."),
        ({"path": "title"}, "invalidSyntax", "Operations[1]: op must be add, replace or remove."),
        ({**GOOD, "op": "move"}, "invalidSyntax", "Operations[1]: op must be add, replace or remove."),
        ({**GOOD, "op": 1}, "invalidSyntax", "Operations[1]: op must be add, replace or remove."),
        ({**GOOD, "OP": "add"}, "invalidSyntax", "Operations[1] has a member twice, in different case."),
        ({"op": "add", "path": "title"}, "invalidValue", "Operations[1]: an add needs a value."),
        ({"op": "replace"}, "invalidValue", "Operations[1]: a replace needs a value."),
        ({"op": "remove"}, "noTarget", "Operations[1]: a remove needs a path."),
        (
            {**GOOD, "path": ["title"]},
            "invalidPath",
            "Operations[1]: path must be a string of at most 4096 characters.",
        ),
        (
            {**GOOD, "path": "t" * (MAX_PATH_CHARACTERS + 1)},
            "invalidPath",
            "Operations[1]: path must be a string of at most 4096 characters.",
        ),
    ],
)
def test_an_error_names_the_operation(operation: Any, scim_type: str, detail: str) -> None:
    error = refused(message(GOOD, operation))
    assert (error.scim_type, error.detail) == (scim_type, detail)


def test_a_value_is_not_shown_when_an_operation_is_printed() -> None:
    assert "t1meMa$heen" not in repr(parse_patch(message({"op": "add", "path": "password", "value": "t1meMa$heen"})))
