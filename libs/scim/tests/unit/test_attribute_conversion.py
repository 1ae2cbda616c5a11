"""Rules: objects, lists and the shapes of them that clients send."""

from typing import Any

import pytest

from quartet_scim.attribute_conversion import MAX_MEMBERS, MAX_VALUES, ObjectRules, compiled
from quartet_scim.schema import Attribute, Mutability, Returned, Type
from quartet_scim.value_conversion import WrongValueError

VALUE = Attribute("value")
TYPE = Attribute("type")
PRIMARY = Attribute("primary", Type.BOOLEAN)
EMAILS = Attribute("emails", Type.COMPLEX, multi_valued=True, sub_attributes=(VALUE, TYPE, PRIMARY))
RULES = ObjectRules(
    [
        compiled(one)
        for one in (
            Attribute("nickName"),
            Attribute("tags", multi_valued=True),
            Attribute("id", mutability=Mutability.READ_ONLY),
            Attribute("name", Type.COMPLEX, sub_attributes=(Attribute("givenName"),)),
            Attribute("manager", Type.COMPLEX, sub_attributes=(VALUE, Attribute("$ref", Type.REFERENCE))),
            EMAILS,
            Attribute("addresses", Type.COMPLEX, multi_valued=True, sub_attributes=(Attribute("country"), PRIMARY)),
        )
    ],
    separator="",
)


def refused(value: dict[str, Any]) -> WrongValueError:
    with pytest.raises(WrongValueError) as caught:
        RULES.convert(value)
    return caught.value


@pytest.mark.parametrize("key", ["nickName", "nickname", "NICKNAME"])
def test_a_name_of_any_case_becomes_the_canonical_one(key: str) -> None:
    assert RULES.convert({key: "Babs"}) == {"nickName": "Babs"}


@pytest.mark.parametrize("keys", [("nickName", "nickname"), ("NICKNAME", "nickName"), ("NICKNAME", "nickname")])
@pytest.mark.parametrize("value", ["Babs", None])
def test_an_attribute_given_twice_in_different_case_is_refused(keys: tuple[str, str], value: str | None) -> None:
    wrong = refused({keys[0]: value, keys[1]: value})
    assert (wrong.path, wrong.scim_type) == ("nickName", "invalidSyntax")


def test_only_ascii_letters_have_a_case_in_names() -> None:
    assert RULES.convert({"nic\u212aName": "the Kelvin sign"}) == {}


def test_unknown_and_read_only_attributes_are_dropped_unseen() -> None:
    assert RULES.convert({"shoeSize": {"deep": [object()]}, "ID": 42, "emails": [{"value": "a", "x": 1}]}) == {
        "emails": [{"value": "a"}]
    }


@pytest.mark.parametrize("nothing", [None, [], [{}], [{"value": None}], {}, {"other": 1}])
def test_what_is_unassigned_is_dropped(nothing: Any) -> None:
    assert RULES.convert({"emails": nothing}) == {}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"emails": [None]}, "emails[0]"),
        ({"emails": [""]}, "emails[0]"),
        ({"emails": [{"value": "a"}, None]}, "emails[1]"),
        ({"emails": ""}, "emails"),
        ({"tags": [None]}, "tags[0]"),
        ({"tags": ""}, "tags"),
    ],
)
def test_a_list_is_never_emptied_by_values_that_are_none(value: dict[str, Any], path: str) -> None:
    wrong = refused(value)
    assert (wrong.path, wrong.scim_type) == (path, "invalidValue")


@pytest.mark.parametrize("empty", ["", {"value": ""}, [{"value": ""}], [""], {"value": "", "$ref": ""}])
def test_an_empty_manager_is_none(empty: Any) -> None:
    assert RULES.convert({"manager": empty}) == {}


def test_a_value_and_type_are_kept_once_whatever_the_case_of_the_type() -> None:
    sent = [{"value": "a@example.com", "type": "work"}, {"value": "a@example.com", "type": "Work", "primary": True}]
    assert RULES.convert({"emails": sent}) == {"emails": [{"value": "a@example.com", "type": "Work", "primary": True}]}


@pytest.mark.parametrize("nothing", [None, {}, {"givenName": None}])
def test_an_object_without_values_is_dropped(nothing: Any) -> None:
    assert RULES.convert({"name": nothing}) == {}


def test_an_empty_string_is_a_value() -> None:
    assert RULES.convert({"nickName": ""}) == {"nickName": ""}


def test_entra_id_sends_a_manager_as_a_bare_string() -> None:
    assert RULES.convert({"manager": "26118915"}) == {"manager": {"value": "26118915"}}
    assert RULES.convert({"manager": ""}) == {}


def test_a_list_of_bare_strings_is_a_list_of_values() -> None:
    assert RULES.convert({"emails": ["a@example.com"]}) == {"emails": [{"value": "a@example.com"}]}


def test_a_single_object_is_accepted_as_a_list_of_one() -> None:
    assert RULES.convert({"emails": {"value": "a@example.com"}}) == {"emails": [{"value": "a@example.com"}]}


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"emails": "a@example.com"}, "emails", "list"),
        ({"emails": [{"value": "a"}, {"value": 1}]}, "emails[1].value", "string"),
        ({"emails": [{}, {}, {"PRIMARY": "maybe"}]}, "emails[2].primary", "boolean"),
        ({"emails": [["a"]]}, "emails[0]", "object"),
        ({"emails": [{"value": "a", "Value": "b"}]}, "emails[0].value", "twice"),
        ({"tags": ["a", 1]}, "tags[1]", "string"),
        ({"tags": "a"}, "tags", "list"),
        ({"name": "Babs"}, "name", "object"),
        ({"name": [{"givenName": "Babs"}, {}]}, "name", "object"),
        ({"name": {"givenName": {}}}, "name.givenName", "string"),
        ({"manager": 26118915}, "manager", "object"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(value: dict[str, Any], path: str, problem: str) -> None:
    wrong = refused(value)
    assert wrong.path == path
    assert problem in wrong.problem


def test_at_most_one_value_is_primary() -> None:
    one = {"value": "a", "primary": True}
    assert RULES.convert({"emails": [one, {"value": "b", "primary": False}]})
    for attribute, values in (
        ("emails", [one, {"value": "b", "primary": "True"}]),
        ("addresses", [{"country": "US", "primary": True}] * 2),
    ):
        wrong = refused({attribute: values})
        assert (wrong.path, wrong.scim_type) == (attribute, "invalidValue")


def test_the_same_value_and_type_are_kept_once_and_the_later_one_counts() -> None:
    work, home = {"value": "a", "type": "work"}, {"value": "a", "type": "home"}
    assert RULES.convert({"emails": [{**work, "primary": True}, home, {**work, "primary": False}]}) == {
        "emails": [{**work, "primary": False}, home]
    }


def test_objects_without_a_value_are_never_taken_for_the_same() -> None:
    assert RULES.convert({"addresses": [{"country": "US"}] * 2}) == {"addresses": [{"country": "US"}] * 2}
    assert RULES.convert({"emails": [{"type": "work"}] * 2}) == {"emails": [{"type": "work"}] * 2}


@pytest.mark.parametrize(("name", "limit"), [("emails", MAX_VALUES), ("members", MAX_MEMBERS)])
def test_a_list_has_a_limit_which_is_higher_for_members(name: str, limit: int) -> None:
    values = compiled(Attribute(name, multi_valued=True)).convert
    assert len(values(["x"] * limit)) == limit
    with pytest.raises(WrongValueError, match=str(limit)):
        values(["x"] * (limit + 1))


@pytest.mark.parametrize("blank", [{}, {"value": None}, {"value": " "}])
def test_a_required_sub_attribute_is_demanded_in_every_element(blank: dict[str, Any]) -> None:
    value = Attribute("value", required=True)
    members = compiled(Attribute("members", Type.COMPLEX, multi_valued=True, sub_attributes=(value,)))
    with pytest.raises(WrongValueError, match="required") as caught:
        members.convert([{"value": "a"}, blank])
    assert caught.value.path == "[1].value"


def test_the_input_is_not_changed() -> None:
    item = {"Value": "a", "type": "work", "junk": 1}
    sent = {"EMAILS": [item, dict(item)], "junk": 1}
    RULES.convert(sent)
    assert sent == {"EMAILS": [{"Value": "a", "type": "work", "junk": 1}] * 2, "junk": 1}


@pytest.mark.parametrize(
    "sub",
    [
        Attribute("deep", Type.COMPLEX),
        Attribute("pin", returned=Returned.NEVER),
        Attribute("pin", mutability=Mutability.WRITE_ONLY),
    ],
)
def test_a_sub_attribute_that_is_complex_or_secret_is_refused_at_once(sub: Attribute) -> None:
    with pytest.raises(ValueError, match=f"outer.{sub.name}"):
        compiled(Attribute("outer", Type.COMPLEX, sub_attributes=(sub,)))


def test_two_attributes_whose_names_differ_by_case_only_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="same name"):
        ObjectRules([compiled(Attribute("badge")), compiled(Attribute("Badge"))], separator="")
