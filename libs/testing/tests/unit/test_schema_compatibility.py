"""Compatibility of schemas: what a reader of the old one would not expect is named; what it ignores is not."""

from typing import Any

import pytest

from quartet_testing.schema_compatibility import incompatibilities

OLD: dict[str, Any] = {
    "title": "users.user.created.v1",
    "type": "object",
    "required": ["id", "state"],
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "state": {"enum": ["active", "suspended"]},
        "name": {"type": ["string", "null"], "minLength": 1},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "values": {"type": "array", "items": {"type": "object", "required": ["value"], "properties": {"value": {}}}},
    },
}


def changed(**properties: Any) -> dict[str, Any]:
    """OLD with other properties; None removes one."""
    found = {**OLD["properties"], **properties}
    return {**OLD, "properties": {name: one for name, one in found.items() if one is not None}}


@pytest.mark.parametrize(
    "new",
    [
        {**OLD, "description": "Better words."},
        {**OLD, "required": ["id", "state", "name"]},
        changed(later={"type": "object"}),
        changed(state={"const": "active"}),
        changed(name={"type": "string", "minLength": 2}),
        changed(count={"type": "integer", "minimum": 2, "maximum": 3}),
        {"oneOf": [OLD, changed(name={"type": "null"})]},
    ],
)
def test_what_readers_expect_or_ignore_is_compatible(new: dict[str, Any]) -> None:
    assert list(incompatibilities(OLD, new)) == []


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ({**OLD, "required": ["id"]}, "data.state was always there, and may be missing"),
        (changed(name=None), "data.name is gone"),
        (changed(id={"type": "string"}), "data.id has another format than uuid"),
        (changed(id={"type": "integer", "format": "uuid"}), "data.id may be integer, and was string"),
        (changed(id={"format": "uuid"}), "data.id may be any, and was string"),
        (changed(state={"enum": ["active", "locked"]}), "data.state may be a value that is none of active, suspended"),
        (changed(state={"type": "string"}), "data.state may be a value that is none of active, suspended"),
        (changed(name={"type": ["string", "null"]}), "data.name may be less than its minLength, 1"),
        (changed(count={"type": "integer", "minimum": 0, "maximum": 9}), "data.count may be less than its minimum, 1"),
        (changed(count={"type": "integer", "minimum": 1}), "data.count may be more than its maximum, 9"),
        (changed(values={"type": "array"}), "data.values[].value is gone"),
        ({"oneOf": [OLD, {"type": "array"}]}, "data: variant 1 is none of before (data may be array, and was object)"),
    ],
)
def test_what_readers_do_not_expect_is_named(new: dict[str, Any], problem: str) -> None:
    assert problem in list(incompatibilities(OLD, new))


def test_readers_of_variants_know_each_variant() -> None:
    old = {"oneOf": [OLD, {"type": "array"}]}
    assert list(incompatibilities(old, OLD)) == []
    assert list(incompatibilities(old, {"type": "string"})) != []


def test_a_keyword_that_is_not_compared_is_an_error() -> None:
    with pytest.raises(ValueError, match="data has multipleOf"):
        list(incompatibilities(OLD, {**OLD, "multipleOf": 2}))
