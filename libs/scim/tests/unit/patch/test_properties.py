"""What holds for every PATCH, whatever is sent; and two oracles: a naive one for plain paths, and scim2-models."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import EnterpriseUser, PatchOp, ScimPolicy, User
from scim2_models.exceptions import SCIMException

from quartet_scim.attribute_names import name_table
from quartet_scim.errors import ScimError
from quartet_scim.json import dump, parse
from quartet_scim.normalise import Normaliser
from quartet_scim.patch import PATCH_SCHEMA, Operation, PatchEngine, parse_patch
from quartet_scim.schema import user_resource_type

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
USERS = Normaliser(user_resource_type())
ENGINE = PatchEngine(user_resource_type())


def parsed(operations: list[dict[str, Any]]) -> list[Operation]:
    return parse_patch({"schemas": [PATCH_SCHEMA], "Operations": operations})


def patched(before: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    return ENGINE.apply(before, parsed(operations)).attributes


WORDS = st.sampled_from(["a", "b", "work", "home", "A"])
ELEMENTS = st.fixed_dictionaries(
    {"value": WORDS}, optional={"type": WORDS, "display": WORDS, "primary": st.just(False)}
)
LISTS = st.lists(ELEMENTS, max_size=4, unique_by=lambda one: (one["value"], str(one.get("type", "")).lower()))
USER = st.fixed_dictionaries(
    {"schemas": st.just([CORE]), "userName": st.just("bjensen")},
    optional={
        "title": WORDS,
        "active": st.booleans(),
        "name": st.dictionaries(st.sampled_from(["familyName", "givenName"]), WORDS, min_size=1),
        "entitlements": LISTS,
        "addresses": st.lists(st.fixed_dictionaries({"type": WORDS, "country": WORDS}), max_size=3, unique_by=str),
        ENTERPRISE: st.dictionaries(st.sampled_from(["department", "division"]), WORDS, min_size=1),
    },
).map(lambda sent: USERS.normalise(sent).attributes)

FILTERS = [
    'type eq "work"',
    'value eq "a"',
    'type eq "work" and value eq "b"',
    "not (type pr)",
    'value co "a" or primary eq true',
]
PATHS = st.sampled_from(sorted(name_table(user_resource_type()))) | st.builds(
    lambda name, text, sub: f"{name}[{text}]{sub}",
    st.sampled_from(["entitlements", "addresses", "roles", "name", "groups", f"{CORE}:entitlements"]),
    st.sampled_from([*FILTERS, "", "type eq", 'shoe eq "x"', "primary gt true"]),
    st.sampled_from(["", ".value", ".type", ".primary", ".shoe", "."]),
)
KEYS = PATHS | st.sampled_from(["value", "type", "primary", "display", "country", "$ref"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=3)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "Replace", "REMOVE"]), "value": JSON},
        optional={"path": PATHS | st.text(max_size=5)},
    ),
    min_size=1,
    max_size=4,
)


@given(USER, OPERATIONS)
def test_any_operations_are_carried_out_whole_or_refused_with_a_scim_error(before: Any, operations: Any) -> None:
    untouched = copy.deepcopy(before)
    sent = copy.deepcopy(operations)
    try:
        found = ENGINE.apply(before, parsed(operations))
    except ScimError:
        found = None
    assert before == untouched
    assert repr(operations) == repr(sent)
    if found is not None:
        again = USERS.normalise(found.attributes)
        assert (again.attributes, again.secrets) == (found.attributes, {})
        assert parse(dump(found.attributes).encode()) == found.attributes
        assert found.changed == (found.attributes != before or bool(found.secrets))


@given(JSON)
def test_any_body_is_a_message_or_a_scim_error(body: Any) -> None:
    for message in ({"schemas": [PATCH_SCHEMA], "Operations": body}, {"schemas": body}):
        try:
            found = parse_patch(message)
        except ScimError:
            continue
        assert 1 <= len(found) <= 1000


GOOD_PATHS: dict[str, st.SearchStrategy[Any]] = {
    "title": WORDS,
    "active": st.booleans(),
    "name": st.dictionaries(st.sampled_from(["familyName", "givenName"]), WORDS),
    "name.familyName": WORDS,
    "entitlements": LISTS,
    'entitlements[type eq "work"].value': WORDS,
    'entitlements[type eq "work"].display': WORDS,
    'entitlements[type eq "home"].primary': st.booleans(),
    'entitlements[value eq "a"].display': WORDS,
    f"{ENTERPRISE}:department": WORDS,
    ENTERPRISE: st.dictionaries(st.sampled_from(["department", "division"]), WORDS),
}
GOOD = st.one_of(*(st.tuples(st.just(path), values) for path, values in GOOD_PATHS.items()))


@given(USER, GOOD)
def test_a_replace_done_twice_is_a_replace_done_once(before: dict[str, Any], good: tuple[str, Any]) -> None:
    operation = {"op": "replace", "path": good[0], "value": good[1]}
    try:
        once = patched(before, [operation])
    except ScimError:  # two values of the filter become primary
        return
    assert patched(once, [operation]) == once
    assert patched(before, [operation, operation]) == once


@given(USER, GOOD)
def test_the_path_in_the_value_says_what_the_path_says(before: dict[str, Any], good: tuple[str, Any]) -> None:
    def outcome(operation: dict[str, Any]) -> Any:
        try:
            return patched(before, [operation])
        except ScimError as wrong:
            return wrong.scim_type

    for op in ("add", "replace"):
        inside = outcome({"op": op, "value": {good[0]: good[1]}})
        assert inside == outcome({"op": op, "path": good[0], "value": good[1]})


@given(
    USER,
    st.sampled_from(
        [
            ("nickName", "Babs", "nickName"),
            ("name.middleName", "J", "name.middleName"),
            (f"{ENTERPRISE}:manager", "7", f"{ENTERPRISE}:manager"),
            ("entitlements", [{"value": "new", "type": "other"}], 'entitlements[type eq "other"]'),
            ("entitlements", [{"value": "new"}], 'entitlements[value eq "new"]'),
            ('entitlements[type eq "other"].value', "new", 'entitlements[type eq "other"].value'),
            ('addresses[type eq "other"].country', "US", 'addresses[type eq "other"].country'),
            ("roles", ["guide"], "roles"),
        ]
    ),
)
def test_what_is_added_fresh_and_removed_again_leaves_no_trace(
    before: dict[str, Any], fresh: tuple[str, Any, str]
) -> None:
    path, value, back = fresh
    assert patched(before, [{"op": "add", "path": path, "value": value}]) != before
    assert patched(before, [{"op": "add", "path": path, "value": value}, {"op": "remove", "path": back}]) == before


def naive(document: dict[str, Any], op: str, path: str, value: Any) -> dict[str, Any]:
    """The RFC's words for a plain path, with a value of the right type."""
    found = copy.deepcopy(document)
    urn, name = path.rsplit(":", 1) if ":" in path else (None, path)
    name, _, sub = name.partition(".")
    holder = found.setdefault(urn, {}) if urn else found
    if sub:
        holder = holder.setdefault(name, {})
        name = sub
    if op == "remove":
        holder.pop(name, None)
    elif isinstance(value, dict):
        holder[name] = {**holder.get(name, {}), **value}
    elif isinstance(value, list) and op == "add":
        for item in value:
            known = [
                one
                for one in holder.get(name, [])
                if (one["value"], (one.get("type") or "").lower()) == (item["value"], (item.get("type") or "").lower())
            ]
            bare = [one for one in holder.get(name, []) if item.keys() == {"value"} and one["value"] == item["value"]]
            if known:
                known[0].update(item)
            elif not bare:
                holder.setdefault(name, []).append(item)
    else:
        holder[name] = value
    for container in (found.get("name"), found.get(ENTERPRISE)):
        if container == {}:
            found = {key: one for key, one in found.items() if one is not container}
    found = {key: one for key, one in found.items() if one not in ({}, [])}
    found["schemas"] = [CORE, ENTERPRISE] if ENTERPRISE in found else [CORE]
    return found


PLAIN = st.one_of(
    *(st.tuples(st.just(path), GOOD_PATHS[path]) for path in GOOD_PATHS if "[" not in path and path != ENTERPRISE)
)


@given(USER, st.lists(st.tuples(st.sampled_from(["add", "replace", "remove"]), PLAIN), min_size=1, max_size=4))
def test_the_naive_oracle_comes_to_the_same(before: dict[str, Any], steps: list[tuple[str, tuple[str, Any]]]) -> None:
    expected = before
    operations = []
    for op, (path, value) in steps:
        expected = naive(expected, op, path, copy.deepcopy(value))
        operations.append({"op": op, "path": path, **({} if op == "remove" else {"value": value})})
    assert patched(before, operations) == expected


POLICY = ScimPolicy(
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create, remove_value_as_filter=ScimPolicy.RemoveValue.apply
)


def oracle(before: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What scim2-models makes of it, None for an error; values that have become the same are merged, as we do."""
    user = User[EnterpriseUser].model_validate(before)
    with POLICY:
        try:
            message = PatchOp[User[EnterpriseUser]].model_validate(
                {"schemas": [PATCH_SCHEMA], "Operations": operations}
            )
            message.patch(user)
        except (SCIMException, ValueError):
            return None
    return USERS.normalise(user.model_dump()).attributes


def ours(before: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return patched(before, operations)
    except ScimError:
        return None


SHARED_PATHS: dict[str, st.SearchStrategy[Any]] = {
    **GOOD_PATHS,
    "entitlements": st.lists(
        ELEMENTS.map(lambda one: {**one, "value": f"new {one['value']}"}),
        max_size=2,
        unique_by=lambda one: one["value"],
    ),
    "userName": WORDS,
    "shoeSize": WORDS,
    "id": WORDS,
    "name.shoe": WORDS,
    'entitlements[type sw "w"].display': WORDS,
}
SHARED = st.one_of(*(st.tuples(st.just(path), values) for path, values in SHARED_PATHS.items()))


@given(USER, st.lists(st.tuples(st.sampled_from(["add", "replace", "remove"]), SHARED), min_size=1, max_size=4))
def test_scim2_models_comes_to_the_same(before: dict[str, Any], steps: list[tuple[str, tuple[str, Any]]]) -> None:
    operations = [
        {"op": op, "path": path, **({} if op == "remove" else {"value": value})}
        for op, (path, value) in steps
        if op != "remove" or "[" not in path
    ]
    if operations:
        assert ours(before, operations) == oracle(before, operations)


DIFFERENT: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any] | None]] = [
    (
        "RFC 7644 3.5.2.3: a value path of a replace names the record, and the entire record is replaced",
        {"op": "replace", "path": 'entitlements[type eq "work"]', "value": {"value": "b"}},
        {"entitlements": [{"value": "a", "type": "work", "display": "A"}]},
        {"entitlements": [{"type": "work", "value": "b"}]},
    ),
    (
        "RFC 7644 table 9: a filter that yields no match is noTarget, for a remove too",
        {"op": "remove", "path": 'entitlements[type eq "home"]'},
        {"entitlements": [{"value": "a", "type": "work"}]},
        None,
    ),
    (
        "RFC 7644 3.5.2.3: a replace of what does not exist is an add; the RFC does not say of what",
        {"op": "replace", "path": "entitlements.value", "value": "a"},
        {},
        {"entitlements": [{"value": "a"}]},
    ),
    (
        "RFC 7643 2.4: the same value and type should not be there twice",
        {"op": "add", "path": "entitlements", "value": [{"value": "a", "type": "work", "display": "B"}]},
        {"entitlements": [{"value": "a", "type": "work", "display": "A"}]},
        {"entitlements": [{"value": "a", "type": "work", "display": "B"}]},
    ),
    (
        "RFC 7644 3.5.2.1: no change where the value is there already, be it with more to it",
        {"op": "add", "path": "entitlements", "value": [{"value": "a"}]},
        {"entitlements": [{"value": "a", "type": "work"}]},
        {"entitlements": [{"value": "a", "type": "work"}]},
    ),
    (
        "clients: a value that only has its type left is none; by the letter of the RFC it would stay",
        {"op": "remove", "path": "entitlements.value"},
        {"entitlements": [{"value": "a", "type": "work"}]},
        {},
    ),
    (
        "clients: whole profiles hold ids; by RFC 7644 3.5.2 a read-only attribute is a mutability error",
        {"op": "replace", "value": {"id": "x", "title": "T"}},
        {},
        {"title": "T"},
    ),
    (
        "RFC 7643 4.1.1: userName must not be empty",
        {"op": "replace", "path": "userName", "value": ""},
        {},
        None,
    ),
]


@pytest.mark.parametrize(
    ("operation", "before", "expected"),
    [one[1:] for one in DIFFERENT],
    ids=[one[0].partition(",")[0] for one in DIFFERENT],
)
def test_where_scim2_models_differs_there_is_a_reason(operation: Any, before: Any, expected: Any) -> None:
    user = {"schemas": [CORE], "userName": "bjensen", **before}
    found = ours(user, [operation])
    assert found == (None if expected is None else {"schemas": [CORE], "userName": "bjensen", **expected})
    unmerged = User[EnterpriseUser].model_validate(user)
    with POLICY:
        try:
            PatchOp[User[EnterpriseUser]].model_validate({"schemas": [PATCH_SCHEMA], "Operations": [operation]}).patch(
                unmerged
            )
        except (SCIMException, ValueError):
            assert found is not None
            return
    assert unmerged.model_dump() != found
