"""Malformed values of multi-valued attributes: refused, whatever the operation; they never empty an attribute."""

from typing import Any

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.patch import PATCH_SCHEMA, parse_patch, split_member_operations

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
USER = {"schemas": [CORE], "userName": "bjensen", "emails": [{"value": "a"}], "roles": [{"value": "guide"}]}
MALFORMED: list[Any] = ["", [""], [None], [None, {"value": "b"}], 0, False, [[]], [0]]


@pytest.mark.parametrize("value", MALFORMED)
@pytest.mark.parametrize("name", ["emails", "roles"])
@pytest.mark.parametrize("op", ["add", "replace"])
def test_a_malformed_value_of_a_user_is_refused(refused: Any, op: str, name: str, value: Any) -> None:
    for operation in ({"op": op, "path": name, "value": value}, {"op": op, "value": {name: value}}):
        scim_type, detail = refused(USER, operation)
        assert scim_type == "invalidValue"
        assert detail.startswith(f"Operations[0]: {name}")


@pytest.mark.parametrize("value", [None, [None], {"emails": None}, 0, [0]])
def test_a_remove_of_a_malformed_list_is_refused(refused: Any, value: Any) -> None:
    assert refused(USER, {"op": "remove", "path": "emails", "value": value})[0] == "invalidValue"


def test_a_remove_without_a_value_removes_all(apply: Any) -> None:
    assert "emails" not in apply(USER, {"op": "remove", "path": "emails"}).attributes


def test_a_remove_of_a_single_value_may_have_null(apply: Any) -> None:
    before = {**USER, "title": "T"}
    assert apply(before, {"op": "remove", "path": "title", "value": None}).attributes == USER


def member_refusal(operation: dict[str, Any]) -> tuple[str | None, str]:
    with pytest.raises(ScimError) as caught:
        split_member_operations(parse_patch({"schemas": [PATCH_SCHEMA], "Operations": [operation]}))
    assert caught.value.status == 400
    return caught.value.scim_type, caught.value.detail


@pytest.mark.parametrize("value", [*MALFORMED, {}, [{}], [{"value": ""}], [{"value": None}], "  "])
@pytest.mark.parametrize("op", ["add", "replace"])
def test_malformed_members_are_refused(op: str, value: Any) -> None:
    for operation in (
        {"op": op, "path": "members", "value": value},
        {"op": op, "value": {"members": value}},
        {"op": op, "value": [{"members": value}]},
    ):
        scim_type, detail = member_refusal(operation)
        assert scim_type == "invalidValue"
        assert detail.startswith("Operations[0]: members")


@pytest.mark.parametrize("value", [*MALFORMED, None, {}, {"members": None}, {"members": [None]}, {"members": ""}])
def test_a_remove_of_malformed_members_is_refused(value: Any) -> None:
    scim_type, detail = member_refusal({"op": "remove", "path": "members", "value": value})
    assert scim_type == "invalidValue"
    assert detail.startswith("Operations[0]: members")


@pytest.mark.parametrize("value", ["", [""], [None]])
def test_a_malformed_value_of_a_chosen_member_is_refused(value: Any) -> None:
    assert member_refusal({"op": "replace", "path": 'members[value eq "a"]', "value": value})[0] == "invalidValue"
