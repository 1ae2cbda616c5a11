"""The members of a group under PATCH: what clients send comes down to sets, and the sets to what a group would be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.errors import ScimError
from quartet_scim.patch import PATCH_SCHEMA, MemberChanges, Operation, PatchEngine, parse_patch, split_member_operations
from quartet_scim.schema import group_resource_type

GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENGINE = PatchEngine(group_resource_type())


def parsed(*operations: dict[str, Any]) -> list[Operation]:
    return parse_patch({"schemas": [PATCH_SCHEMA], "Operations": list(operations)})


def changes(*operations: dict[str, Any]) -> tuple[bool, list[str], list[str]]:
    """Whether all go, who goes, who comes; nothing may be left over."""
    found, rest = split_member_operations(parsed(*operations))
    assert [one.value for one in rest] in ([], [{GROUP: {}}])
    return found.replaces_all, list(found.removed), list(found.added)


def refused(*operations: dict[str, Any]) -> tuple[str | None, str]:
    with pytest.raises(ScimError) as caught:
        split_member_operations(parsed(*operations))
    assert caught.value.status == 400
    return caught.value.scim_type, caught.value.detail


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        pytest.param(operation, expected, id=name)
        for name, operation, expected in [
            (
                "RFC: add",
                {"op": "add", "path": "members", "value": [{"value": "a"}, {"value": "b"}]},
                (False, [], ["a", "b"]),
            ),
            ("RFC: remove one", {"op": "remove", "path": 'members[value eq "a"]'}, (False, ["a"], [])),
            ("RFC: remove all", {"op": "remove", "path": "members"}, (True, [], [])),
            ("RFC: replace", {"op": "replace", "path": "members", "value": [{"value": "a"}]}, (True, [], ["a"])),
            ("RFC: no path, add", {"op": "add", "value": {"members": [{"value": "a"}]}}, (False, [], ["a"])),
            ("RFC: no path, replace", {"op": "replace", "value": {"members": [{"value": "a"}]}}, (True, [], ["a"])),
            ("RFC: names of any case", {"op": "add", "path": "Members", "value": [{"VALUE": "a"}]}, (False, [], ["a"])),
            ("RFC: URN", {"op": "add", "path": f"{GROUP}:members", "value": [{"value": "a"}]}, (False, [], ["a"])),
            ("RFC: URN and filter", {"op": "remove", "path": f'{GROUP}:members[value eq "a"]'}, (False, ["a"], [])),
            (
                "RFC: URN of the group",
                {"op": "add", "path": GROUP, "value": {"members": [{"value": "a"}]}},
                (False, [], ["a"]),
            ),
            ("RFC: URN as key", {"op": "add", "value": {f"{GROUP}:Members": [{"value": "a"}]}}, (False, [], ["a"])),
            ("the URN as a key", {"op": "replace", "value": {GROUP: {"Members": ["a"]}}}, (True, [], ["a"])),
            (
                "an object of members in a remove",
                {"op": "remove", "path": "members", "value": {"members": [{"value": "a"}, "b"]}},
                (False, ["a", "b"], []),
            ),
            ("an empty list in a remove", {"op": "remove", "path": "members", "value": []}, (False, [], [])),
            ("an object in a list", {"op": "add", "value": [{"members": [{"value": "a"}]}]}, (False, [], ["a"])),
            ("a dot behind the URN", {"op": "remove", "path": f'{GROUP}.members[value eq "a"]'}, (False, ["a"], [])),
            ("RFC: null in a replace", {"op": "replace", "path": "members", "value": None}, (True, [], [])),
            ("RFC: null in an add", {"op": "add", "path": "members", "value": None}, (False, [], [])),
            (
                "Entra ID: add",
                {"op": "Add", "path": "members", "value": [{"$ref": None, "value": "a"}]},
                (False, [], ["a"]),
            ),
            (
                "Entra ID: remove with a list",
                {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": "a"}, {"value": "b"}]},
                (False, ["a", "b"], []),
            ),
            ("Entra ID: remove with an empty list", {"op": "Remove", "path": "members", "value": []}, (False, [], [])),
            (
                "Entra ID: several ids in a filter",
                {"op": "Remove", "path": 'members[value eq "a" or (Value EQ "b" or value eq "c")]'},
                (False, ["a", "b", "c"], []),
            ),
            ("Okta: an empty group pushed", {"op": "replace", "path": "members", "value": []}, (True, [], [])),
            (
                "Okta: add with a name",
                {"op": "add", "path": "members", "value": [{"value": "a", "display": "a@example.com"}]},
                (False, [], ["a"]),
            ),
            ("a single object", {"op": "add", "path": "members", "value": {"value": "a"}}, (False, [], ["a"])),
            ("a list of ids", {"op": "add", "path": "members", "value": ["a", "b"]}, (False, [], ["a", "b"])),
            ("an id", {"op": "remove", "path": "members", "value": "a"}, (False, ["a"], [])),
            ("add by filter", {"op": "add", "path": 'members[value eq "a"]', "value": {}}, (False, [], ["a"])),
            (
                "replace by filter with itself",
                {"op": "replace", "path": 'members[value eq "a"]', "value": {"value": "a", "type": "User"}},
                (False, [], ["a"]),
            ),
            (
                "replace by filter with null",
                {"op": "replace", "path": 'members[value eq "a"]', "value": None},
                (False, ["a"], []),
            ),
        ]
    ],
)
def test_a_shape_that_clients_send_becomes_sets(operation: dict[str, Any], expected: Any) -> None:
    assert changes(operation) == expected


def test_sent_sub_attributes_of_a_member_are_kept_except_the_name() -> None:
    sent = {"value": "a", "display": "Babs", "Type": "User", "$ref": "../Users/a", "shoe": 1}
    found, _ = split_member_operations(parsed({"op": "add", "path": "members", "value": [sent, {"value": "b"}]}))
    assert found.added == {"a": {"value": "a", "type": "User", "$ref": "../Users/a"}, "b": {"value": "b"}}


def test_the_later_operation_counts() -> None:
    add, remove = ({"op": op, "path": "members", "value": [{"value": "a"}]} for op in ("add", "remove"))
    everybody = {"op": "remove", "path": "members"}
    other = {"op": "replace", "path": "members", "value": [{"value": "b"}]}
    assert changes(add, remove) == (False, ["a"], [])
    assert changes(remove, add) == (False, [], ["a"])
    assert changes(remove, everybody, add) == (True, [], ["a"])
    assert changes(remove, other) == (True, [], ["b"])
    assert changes(add, other, remove) == (True, [], ["b"])


def test_what_is_not_about_members_is_left_over_in_its_order() -> None:
    member = {"members": [{"value": "a"}]}
    operations = parsed(
        {"op": "replace", "value": {"id": "x", "displayName": "Guides", **member}},
        {"op": "add", "path": "externalId", "value": "1"},
        {"op": "add", "value": member},
        {"op": "remove", "path": "membership"},
        {"op": "add", "path": f"{GROUP}:displayName", "value": "G"},
        {"op": "add", "value": "nonsense"},
        {"op": "add", "value": {"": {"members": ["b"]}}},
    )
    found, rest = split_member_operations(operations)
    assert list(found.added) == ["a"]
    assert [(one.index, one.path, one.value) for one in rest] == [
        (0, None, {"id": "x", "displayName": "Guides"}),
        (1, "externalId", "1"),
        (3, "membership", None),
        (4, f"{GROUP}:displayName", "G"),
        (5, None, "nonsense"),
        (6, None, {"": {"members": ["b"]}}),
    ]
    assert operations[0].value["members"] == [{"value": "a"}]


def test_a_rename_changes_no_members() -> None:
    found, rest = split_member_operations(parsed({"op": "Replace", "value": {"id": "x", "displayName": "Guides"}}))
    assert not found
    assert len(rest) == 1
    assert MemberChanges(True, (), {})


@pytest.mark.parametrize(
    ("operation", "scim_type", "detail"),
    [
        (
            {"op": "add", "path": "members", "value": [{"display": "x"}]},
            "invalidValue",
            "members[0].value is required.",
        ),
        (
            {"op": "add", "path": "members", "value": [{"value": 1}]},
            "invalidValue",
            "members[0].value must be a string.",
        ),
        ({"op": "add", "path": "members", "value": 1}, "invalidValue", "members must be a list."),
        ({"op": "remove", "path": "members", "value": [{}]}, "invalidValue", "members[0].value is required."),
        (
            {"op": "replace", "path": 'members[value eq "a"].display', "value": "x"},
            "mutability",
            "members cannot be written by their attributes, which are immutable.",
        ),
        (
            {"op": "remove", "path": "members.value"},
            "mutability",
            "members cannot be written by their attributes, which are immutable.",
        ),
        (
            {"op": "replace", "path": 'members[value eq "a"]', "value": {"value": "b"}},
            "mutability",
            "members.value is immutable.",
        ),
        *(
            (
                {"op": "remove", "path": f"members[{text}]"},
                "invalidPath",
                'members can be selected by value eq "id" only, joined by or.',
            )
            for text in (
                'display sw "B"',
                'value ne "a"',
                'value eq "a" and type eq "User"',
                "not (value pr)",
                "value eq null",
            )
        ),
    ],
)
def test_what_cannot_be_done_to_members_is_refused(operation: dict[str, Any], scim_type: str, detail: str) -> None:
    first = {"op": "add", "path": "displayName", "value": "G"}
    assert refused(first, operation) == (scim_type, f"Operations[1]: {detail}")


def test_a_filter_that_cannot_be_read_is_refused_with_its_operation() -> None:
    scim_type, detail = refused({"op": "remove", "path": "members[value eq "})
    assert scim_type == "invalidPath"
    assert detail.startswith("Operations[0]: ")


IDS = st.sampled_from("abcdef")
MEMBERS = st.lists(IDS, max_size=4).map(lambda ids: [{"value": one} for one in ids])
CHANGES = st.one_of(
    st.builds(
        lambda op, ids: {"op": op, "path": "members", "value": ids}, st.sampled_from(["add", "replace"]), MEMBERS
    ),
    st.builds(lambda ids: {"op": "replace", "value": {"members": ids}}, MEMBERS),
    st.just({"op": "remove", "path": "members"}),
    st.builds(lambda ids: {"op": "remove", "path": "members", "value": ids}, MEMBERS),
)


@given(MEMBERS, st.lists(CHANGES, min_size=1, max_size=6))
def test_the_sets_make_of_a_group_what_the_engine_makes_of_it(before: Any, operations: list[dict[str, Any]]) -> None:
    group: dict[str, Any] = {"schemas": [GROUP], "displayName": "G", "members": before}
    expected = ENGINE.apply(group, parsed(*operations)).attributes.get("members", [])
    found, rest = split_member_operations(parsed(*operations))
    ids = set() if found.replaces_all else {member["value"] for member in before}
    assert (ids - set(found.removed)) | found.added.keys() == {member["value"] for member in expected}
    assert not set(found.removed) & found.added.keys()
    assert rest == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=3) | st.sampled_from(["members", "value"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["members", "MEMBERS", "value", "type", 'members[value eq "a"]', GROUP]),
                inner,
                max_size=3,
            )
        ),
    ),
    st.sampled_from(
        [
            None,
            "members",
            "members[",
            'members[value eq "a"]',
            'members[value eq "a" or value co "b"]',
            "members.x",
            GROUP,
        ]
    ),
    st.sampled_from(["add", "replace", "remove"]),
)
def test_any_json_becomes_sets_or_a_scim_error(value: Any, path: str | None, op: str) -> None:
    try:
        found, rest = split_member_operations(parsed({"op": op, "path": path, "value": value}))
    except ScimError:
        return
    assert all(isinstance(one, str) for one in [*found.removed, *found.added])
    assert len(rest) <= 1
    try:
        left = ENGINE.apply({"schemas": [GROUP], "displayName": "G"}, rest).attributes
    except ScimError:
        return
    assert "members" not in left
