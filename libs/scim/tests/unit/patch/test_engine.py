"""PATCH by the RFC: what each operation makes of each kind of target (RFC 7644 3.5.2)."""

import copy
from typing import Any

import pytest

from quartet_scim.attribute_conversion import MAX_VALUES
from quartet_scim.patch import Patched

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MINIMAL = {"schemas": [CORE], "userName": "b"}
WORK = {"value": "w@example.com", "type": "work", "primary": True}
HOME = {"value": "h@example.com", "type": "home"}
MAILED: dict[str, Any] = {**MINIMAL, "emails": [WORK, HOME]}


def add(path: str | None, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def replace(path: str | None, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def without_schemas(found: Patched) -> dict[str, Any]:
    return {name: value for name, value in found.attributes.items() if name not in ("schemas", "userName")}


@pytest.mark.parametrize("change", [add, replace])
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("title", "Guide", {"title": "Guide"}),
        ("TITLE", "Guide", {"title": "Guide"}),
        (f"{CORE}:title", "Guide", {"title": "Guide"}),
        ("externalId", "42", {"externalId": "42"}),
        ("name.familyName", "Jensen", {"name": {"familyName": "Jensen"}}),
        ("name", {"familyName": "Jensen"}, {"name": {"familyName": "Jensen"}}),
        (f"{CORE}:name.familyName", "Jensen", {"name": {"familyName": "Jensen"}}),
        (f"{ENTERPRISE}:department", "Tours", {ENTERPRISE: {"department": "Tours"}}),
        (f"{ENTERPRISE.upper()}:Department", "Tours", {ENTERPRISE: {"department": "Tours"}}),
        (ENTERPRISE, {"department": "Tours"}, {ENTERPRISE: {"department": "Tours"}}),
        (f"{ENTERPRISE}:manager.value", "7", {ENTERPRISE: {"manager": {"value": "7"}}}),
        (CORE, {"title": "Guide"}, {"title": "Guide"}),
        (None, {"title": "Guide", "name": {"givenName": "B"}}, {"title": "Guide", "name": {"givenName": "B"}}),
        (None, {ENTERPRISE: {"department": "Tours"}}, {ENTERPRISE: {"department": "Tours"}}),
        ("emails", [HOME], {"emails": [HOME]}),
        ("emails", HOME, {"emails": [HOME]}),
        ("emails.value", "h@example.com", {"emails": [{"value": "h@example.com"}]}),
        ('emails[type eq "home"].value', "h@example.com", {"emails": [HOME]}),
        ('emails[type eq "home"]', {"value": "h@example.com"}, {"emails": [HOME]}),
    ],
)
def test_what_is_not_there_is_made(apply: Any, change: Any, path: str | None, value: Any, expected: Any) -> None:
    found = apply(MINIMAL, change(path, value))
    assert without_schemas(found) == expected
    assert found.changed
    assert found.attributes["schemas"] == ([CORE, ENTERPRISE] if ENTERPRISE in expected else [CORE])


@pytest.mark.parametrize(
    "path",
    ["name", "name.familyName", "emails", "emails.type", 'emails[type eq "home"]', "active", "addresses", ENTERPRISE],
)
def test_what_is_added_again_or_replaced_by_itself_is_no_change(apply: Any, stored: dict[str, Any], path: str) -> None:
    values = {
        "name.familyName": "Jensen",
        "emails.type": None,
        'emails[type eq "home"]': stored["emails"][1],
        **{name: stored[name] for name in ("name", "emails", "active", "addresses", ENTERPRISE)},
    }
    assert not apply(stored, add(path, values[path])).changed
    if path != "emails.type":
        assert not apply(stored, replace(path, values[path])).changed


def test_a_simple_value_is_replaced_by_add_and_by_replace(apply: Any) -> None:
    for change in (add, replace):
        assert apply({**MINIMAL, "title": "Old"}, change("title", "New")).attributes["title"] == "New"


def test_a_complex_value_keeps_the_sub_attributes_that_are_not_named(apply: Any) -> None:
    before = {**MINIMAL, "name": {"familyName": "Jensen", "givenName": "Babs"}}
    for operation in (add("name", {"givenName": "B"}), replace("name", {"GIVENNAME": "B", "shoe": 1})):
        assert apply(before, operation).attributes["name"] == {"familyName": "Jensen", "givenName": "B"}


def test_an_extension_keeps_the_attributes_that_are_not_named(apply: Any) -> None:
    before = {**MINIMAL, "schemas": [CORE, ENTERPRISE], ENTERPRISE: {"department": "D", "division": "V"}}
    expected = {"department": "E", "division": "V"}
    for operation in (
        replace(ENTERPRISE, {"department": "E"}),
        replace(None, {ENTERPRISE.lower(): {"department": "E"}}),
    ):
        assert apply(before, operation).attributes[ENTERPRISE] == expected


def test_null_in_a_replace_unassigns_and_in_an_add_does_nothing(apply: Any) -> None:
    before = {**MAILED, "title": "T", "name": {"familyName": "J", "givenName": "B"}, "schemas": [CORE, ENTERPRISE]}
    before[ENTERPRISE] = {"department": "D"}
    nothing: dict[str, Any] = {
        "title": None,
        "name": {"givenName": None},
        "emails": [],
        ENTERPRISE: {"department": None},
    }
    assert not apply(before, add(None, nothing)).changed
    found = apply(before, replace(None, nothing)).attributes
    assert found == {"schemas": [CORE], "userName": "b", "name": {"familyName": "J"}}
    assert apply(before, replace(None, {ENTERPRISE: None})).attributes["schemas"] == [CORE]
    assert not apply(before, add(None, {ENTERPRISE: None})).changed


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("title", {"name", "emails", ENTERPRISE}),
        ("name", {"title", "emails", ENTERPRISE}),
        ("emails", {"title", "name", ENTERPRISE}),
        (ENTERPRISE, {"title", "name", "emails"}),
        (f"{ENTERPRISE}:department", {"title", "name", "emails"}),
        ("name.familyName", {"title", "emails", ENTERPRISE}),
        ("nickName", {"title", "name", "emails", ENTERPRISE}),
        ("name.givenName", {"title", "name", "emails", ENTERPRISE}),
        ("addresses.country", {"title", "name", "emails", ENTERPRISE}),
    ],
)
def test_a_remove_takes_away_what_is_there_and_minds_nothing_that_is_not(apply: Any, path: str, left: set[str]) -> None:
    before = {**MAILED, "title": "T", "name": {"familyName": "J"}, ENTERPRISE: {"department": "D"}}
    before["schemas"] = [CORE, ENTERPRISE]
    found = apply(before, remove(path))
    assert without_schemas(found).keys() == left
    assert found.changed == (len(left) < 4)
    assert found.attributes["schemas"] == ([CORE, ENTERPRISE] if ENTERPRISE in left else [CORE])


def test_values_are_added_to_a_list_each_once(apply: Any) -> None:
    other = {"value": "o@example.com"}
    sent = [{**HOME, "display": "At home"}, other, {"value": "w@example.com"}, other]
    assert apply(MAILED, add("emails", sent)).attributes["emails"] == [WORK, {**HOME, "display": "At home"}, other]


def test_values_without_a_value_are_the_same_when_all_of_them_is(apply: Any) -> None:
    before = {**MINIMAL, "addresses": [{"type": "work", "country": "US"}]}
    assert not apply(before, add("addresses", {"country": "US", "type": "work"})).changed
    assert len(apply(before, add("addresses", {"country": "DE", "type": "work"})).attributes["addresses"]) == 2


def test_a_list_is_replaced_as_a_whole(apply: Any) -> None:
    assert apply(MAILED, replace("emails", [HOME])).attributes["emails"] == [HOME]


def test_a_new_primary_takes_the_place_of_the_old(apply: Any) -> None:
    demoted = {**WORK, "primary": False}
    new = {"value": "n@example.com", "primary": True}
    assert apply(MAILED, add("emails", [new])).attributes["emails"] == [demoted, HOME, new]
    promoted = [demoted, {**HOME, "primary": True}]
    assert apply(MAILED, replace('emails[type eq "home"].primary', True)).attributes["emails"] == promoted
    assert apply(MAILED, add('emails[type eq "home"]', {"primary": "True"})).attributes["emails"] == promoted
    assert apply(MAILED, add("emails", {**HOME, "primary": True})).attributes["emails"] == promoted
    known = {"value": WORK["value"]}
    assert apply(MAILED, add("emails", [known, new])).attributes["emails"] == [demoted, HOME, new]


def test_a_filter_chooses_the_values_that_change(apply: Any) -> None:
    new = {**HOME, "value": "n@example.com"}
    for path in (
        'emails[type eq "home"].value',
        'emails[value ew "H@example.com"].value',
        "emails[not (primary eq true)].value",
    ):
        assert apply(MAILED, replace(path, "n@example.com")).attributes["emails"] == [WORK, new]
    both = [{**WORK, "display": "D"}, {**HOME, "display": "D"}]
    assert apply(MAILED, add('emails[type eq "work" or type eq "home"].display', "D")).attributes["emails"] == both
    assert apply(MAILED, add("emails.display", "D")).attributes["emails"] == both


def test_a_replaced_element_keeps_only_the_values_in_the_filter(apply: Any) -> None:
    found = apply(MAILED, replace('emails[type eq "work"]', {"value": "n@example.com"})).attributes["emails"]
    assert found == [{"type": "work", "value": "n@example.com"}, HOME]
    moved = apply(MAILED, replace('emails[type eq "home"]', {"value": "n@example.com", "type": "other"}))
    assert moved.attributes["emails"] == [WORK, {"type": "other", "value": "n@example.com"}]


def test_an_addition_to_a_record_keeps_the_rest_of_it(apply: Any) -> None:
    found = apply(MAILED, add('emails[type eq "work"]', {"display": "Work"})).attributes["emails"]
    assert found == [{**WORK, "display": "Work"}, HOME]


def test_chosen_values_are_removed_and_an_empty_list_is_none(apply: Any) -> None:
    assert apply(MAILED, remove('emails[type eq "work"]')).attributes["emails"] == [HOME]
    assert apply(MAILED, replace('emails[type eq "work"]', None)).attributes["emails"] == [HOME]
    assert "emails" not in apply(MAILED, remove("emails[value pr]")).attributes


def test_a_value_that_has_lost_all_but_its_labels_is_gone(apply: Any) -> None:
    assert apply(MAILED, remove('emails[type eq "work"].value')).attributes["emails"] == [HOME]
    assert apply(MAILED, remove('emails[type eq "home"].type')).attributes["emails"] == [
        WORK,
        {"value": "h@example.com"},
    ]
    lists = {**MINIMAL, "addresses": [{"type": "work", "country": "US", "region": "CA"}], "ims": [{"type": "xmpp"}]}
    one = apply(lists, remove('addresses[type eq "work"].region')).attributes
    assert one["addresses"] == [{"type": "work", "country": "US"}]
    both = apply(lists, remove("addresses.region"), remove("addresses.country")).attributes
    assert "addresses" not in both
    assert both["ims"] == [{"type": "xmpp"}]


def test_what_is_read_only_is_passed_over_inside_a_value(apply: Any) -> None:
    sent = {"id": "x", "meta": {"version": "1"}, "groups": [{"value": "a"}], "schemas": [], "title": "T", "shoeSize": 4}
    manager = {"manager": {"value": "7", "displayName": "Boss"}}
    found = apply(MINIMAL, add(None, sent), replace(ENTERPRISE, manager))
    assert without_schemas(found) == {"title": "T", ENTERPRISE: {"manager": {"value": "7"}}}


def test_schemas_follow_from_what_is_there_whatever_is_written(apply: Any, refused: Any) -> None:
    assert not apply(MINIMAL, add("schemas", [ENTERPRISE])).changed
    assert not apply(MINIMAL, replace("schemas", ["urn:example:other"])).changed
    assert refused(MINIMAL, remove("schemas"))[0] == "mutability"


def test_a_password_is_only_ever_in_the_secrets(apply: Any) -> None:
    for operation in (add("password", "t1meMa$heen"), replace(None, {"PASSWORD": "t1meMa$heen"})):
        found = apply(MINIMAL, operation)
        assert (found.attributes, found.secrets, found.changed) == (MINIMAL, {"password": "t1meMa$heen"}, True)
        assert "t1meMa$heen" not in repr(found)
    assert apply(MINIMAL, remove("password")).secrets == {"password": None}
    assert apply(MINIMAL, add("password", "x"), replace("password", None)).secrets == {"password": None}
    assert apply(MINIMAL, add("password", None)).secrets == {}


def test_a_ref_goes_with_the_value_that_it_belonged_to(apply: Any, stored: dict[str, Any]) -> None:
    manager = f"{ENTERPRISE}:manager"
    for operation in (replace(manager, "7"), replace(f"{manager}.value", "7"), add(manager, {"value": "7"})):
        assert apply(stored, operation).attributes[ENTERPRISE]["manager"] == {"value": "7"}
    kept = apply(stored, replace(manager, {"$ref": "../Users/7", "value": "7"})).attributes[ENTERPRISE]["manager"]
    assert kept == {"value": "7", "$ref": "../Users/7"}


def test_operations_see_what_those_before_them_did_and_fail_together(apply: Any, refused: Any) -> None:
    steps = [add('emails[type eq "fax"].value', "f"), replace('emails[type eq "fax"].type', "telex")]
    assert apply(MINIMAL, *steps).attributes["emails"] == [{"type": "telex", "value": "f"}]
    assert refused(MAILED, *steps, remove('emails[type eq "fax"]'))[0] == "noTarget"


def test_the_resource_that_is_patched_is_not_changed(apply: Any, stored: dict[str, Any]) -> None:
    before = copy.deepcopy(stored)
    apply(
        stored,
        replace("emails.value", "x"),
        add("name", {"givenName": "x"}),
        remove("addresses.type"),
        replace(f"{ENTERPRISE}:manager", "x"),
        remove(f"{ENTERPRISE}:employeeNumber"),
    )
    assert stored == before


def test_a_remove_by_a_list_without_values_means_what_has_all_of_it(apply: Any, refused: Any) -> None:
    addresses = [
        {"type": "work", "country": "US"},
        {"type": "work", "country": "DE"},
        {"type": "home", "country": "US"},
    ]
    before = {**MINIMAL, "addresses": addresses}

    def left(*listed: Any) -> Any:
        return apply(before, {"op": "remove", "path": "addresses", "value": list(listed)}).attributes.get("addresses")

    assert left({"type": "work", "country": "US"}) == addresses[1:]
    assert left({"type": "work"}, {"country": "US"}) is None
    assert left({}, {"shoe": 1}) == addresses
    many = {**MINIMAL, "addresses": [{"country": str(n)} for n in range(MAX_VALUES)]}
    listed = [{"region": str(n)} for n in range(MAX_VALUES)]
    assert refused(many, {"op": "remove", "path": "addresses", "value": listed})[0] == "tooMany"


def test_a_record_that_is_replaced_by_nothing_is_gone(apply: Any) -> None:
    assert apply(MAILED, replace('emails[type sw "w"]', {})).attributes["emails"] == [HOME]
    assert "emails" not in apply({**MINIMAL, "emails": [WORK]}, replace('emails[type sw "w"]', {})).attributes


def test_a_value_path_to_what_is_read_only_is_passed_over_inside_a_value(apply: Any) -> None:
    assert not apply(MINIMAL, add(None, {'groups[type eq "direct"].value': "a", "meta.version": "1"})).changed
