"""PATCH of attributes that only a schema of one's own can have: immutable, required, secret, or plain lists."""

from typing import Any

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.patch import PATCH_SCHEMA, Patched, PatchEngine, parse_patch
from quartet_scim.schema import Attribute, Mutability, Returned, Schema, Type, group_resource_type, user_resource_type

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MINIMAL = {"schemas": [CORE], "userName": "b"}


def add(path: str | None, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def replace(path: str | None, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def tenant(*attributes: Attribute) -> PatchEngine:
    return PatchEngine(user_resource_type(Schema("urn:example:Badge", "Badge", "", attributes)))


def apply_to(engine: PatchEngine, attributes: dict[str, Any], *operations: dict[str, Any]) -> Patched:
    return engine.apply(attributes, parse_patch({"schemas": [PATCH_SCHEMA], "Operations": list(operations)}))


def test_an_immutable_value_is_written_once() -> None:
    engine = tenant(Attribute("number", mutability=Mutability.IMMUTABLE), Attribute("colour"))
    path = "urn:example:Badge:number"
    first = apply_to(engine, MINIMAL, add(path, "1"), add("urn:example:Badge:colour", "red"))
    assert not apply_to(engine, first.attributes, replace(path, "1")).changed
    for operation in (
        replace(path, "2"),
        remove(path),
        remove("urn:example:Badge"),
        replace("urn:example:Badge", {"number": "2"}),
    ):
        with pytest.raises(ScimError) as caught:
            apply_to(engine, first.attributes, operation)
        assert (caught.value.scim_type, caught.value.detail) == ("mutability", f"Operations[0]: {path} is immutable.")


def test_the_id_of_a_member_is_immutable() -> None:
    engine = PatchEngine(group_resource_type())
    group = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "G",
        "members": [{"value": "a"}],
    }
    for operation in (
        replace('members[value eq "a"].value', "b"),
        replace('members[value eq "a"]', {"value": "b"}),
        remove("members.value"),
        replace("members.value", None),
    ):
        with pytest.raises(ScimError) as caught:
            apply_to(engine, group, operation)
        assert (caught.value.scim_type, caught.value.detail) == (
            "mutability",
            "Operations[0]: members.value is immutable.",
        )
    assert not apply_to(engine, group, replace('members[value eq "a"]', {"value": "a"})).changed


def test_a_required_attribute_of_an_extension_is_demanded_where_the_extension_is_there() -> None:
    engine = tenant(Attribute("number", Type.INTEGER, required=True), Attribute("colour"))
    with pytest.raises(ScimError) as caught:
        apply_to(engine, MINIMAL, add("urn:example:Badge:colour", "red"))
    assert (caught.value.scim_type, caught.value.detail) == (
        "invalidValue",
        "Operations[0]: urn:example:Badge:number is required.",
    )
    whole = apply_to(engine, MINIMAL, add("urn:example:Badge", {"number": 1, "colour": "red"}))
    assert apply_to(engine, whole.attributes, remove("urn:example:Badge")).attributes == MINIMAL


def test_a_secret_of_an_extension_has_its_urn_in_its_name_and_goes_with_the_extension() -> None:
    engine = tenant(Attribute("pin", returned=Returned.NEVER))
    assert apply_to(engine, MINIMAL, add("urn:example:badge:PIN", "1")).secrets == {"urn:example:Badge:pin": "1"}
    assert apply_to(engine, MINIMAL, add(None, {"urn:example:Badge": {"pin": "1"}})).attributes == MINIMAL
    assert apply_to(engine, MINIMAL, remove("urn:example:Badge")).secrets == {"urn:example:Badge:pin": None}


def test_the_sub_attributes_of_a_complex_attribute_have_rules_of_their_own() -> None:
    subs = (Attribute("value", required=True), Attribute("floors", multi_valued=True), Attribute("colour"))
    engine = tenant(Attribute("door", Type.COMPLEX, sub_attributes=subs))
    door = "urn:example:Badge:door"
    first = apply_to(engine, MINIMAL, add(door, {"value": "d", "floors": ["1", "2"]})).attributes
    more = apply_to(engine, first, add(door, {"floors": ["2", "3"]}), add(f"{door}.floors", ["4"])).attributes
    assert more["urn:example:Badge"]["door"] == {"value": "d", "floors": ["1", "2", "3", "4"]}
    fewer = apply_to(engine, more, replace(f"{door}.floors", ["5"]), add(f"{door}.colour", "red")).attributes
    assert fewer["urn:example:Badge"]["door"] == {"value": "d", "floors": ["5"], "colour": "red"}
    for operation in (remove(f"{door}.value"), replace(door, {"value": None})):
        with pytest.raises(ScimError) as caught:
            apply_to(engine, first, operation)
        assert caught.value.detail == f"Operations[0]: {door}.value is required and cannot be removed."
    with pytest.raises(ScimError) as caught:
        apply_to(engine, MINIMAL, add(f"{door}.colour", "red"))
    assert (caught.value.scim_type, caught.value.detail) == (
        "invalidValue",
        f"Operations[0]: {door}.value is required.",
    )


def test_a_list_of_plain_values_is_added_to_chosen_from_and_removed_from() -> None:
    engine = tenant(Attribute("doors", multi_valued=True))
    path = "urn:example:Badge:doors"

    def doors(*operations: dict[str, Any]) -> Any:
        return apply_to(engine, MINIMAL, add(path, ["a", "b"]), *operations).attributes["urn:example:Badge"]["doors"]

    assert doors(add(path, ["b", "c", "c"])) == ["a", "b", "c"]
    assert doors(replace(path, ["c"])) == ["c"]
    assert doors(remove(f'{path}[value eq "a"]')) == ["b"]
    assert doors(replace(f'{path}[value eq "a"]', "x")) == ["x", "b"]
    assert doors({"op": "remove", "path": path, "value": ["a", "z"]}) == ["b"]


def test_what_is_stored_under_a_schema_that_is_not_known_here_stays_as_it_is() -> None:
    strange = {**MINIMAL, "schemas": [CORE, ENTERPRISE, "urn:example:Door"], ENTERPRISE: {"department": "Tours"}}
    strange["urn:example:Door"] = {"colour": "red"}
    found = apply_to(tenant(Attribute("number")), strange, replace("title", "Guide"), remove(ENTERPRISE)).attributes
    assert found["schemas"] == [CORE, "urn:example:Door"]
    assert found["urn:example:Door"] == {"colour": "red"}


def test_an_add_of_a_single_value_appends_it_to_a_plain_list() -> None:
    engine = tenant(Attribute("tags", multi_valued=True), Attribute("floors", Type.INTEGER, multi_valued=True))
    before = {**MINIMAL, "urn:example:Badge": {"tags": ["a"]}}
    found = apply_to(
        engine,
        before,
        add("urn:example:Badge:tags", "b"),
        add("urn:example:Badge:tags", "a"),
        add(None, {"urn:example:Badge:floors": 0}),
        add("urn:example:Badge", {"floors": 7}),
    )
    assert found.attributes["urn:example:Badge"] == {"tags": ["a", "b"], "floors": [0, 7]}


@pytest.mark.parametrize("value", [[None], "", 7, [["a"]]])
def test_a_replace_of_a_plain_list_by_no_list_is_refused(value: Any) -> None:
    engine = tenant(Attribute("tags", multi_valued=True))
    before = {**MINIMAL, "urn:example:Badge": {"tags": ["a"]}}
    with pytest.raises(ScimError) as caught:
        apply_to(engine, before, replace("urn:example:Badge:tags", value))
    assert caught.value.scim_type == "invalidValue"


def test_a_blank_value_with_other_sub_attributes_is_kept() -> None:
    desk = Attribute("desk", Type.COMPLEX, sub_attributes=(Attribute("value"), Attribute("label")))
    found = apply_to(tenant(desk), MINIMAL, add("urn:example:Badge:desk", {"value": "", "label": "L"}))
    assert found.attributes["urn:example:Badge"] == {"desk": {"value": "", "label": "L"}}
