"""What a PATCH is refused for, with the operation, the attribute and the kind of error (RFC 7644 3.5.2, 3.12)."""

from typing import Any

import pytest

from quartet_scim.attribute_conversion import MAX_VALUES
from quartet_scim.patch.patch_budget import MAX_BUDGET
from quartet_scim.patch.value_filter import COST_OF_A_TEST

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


def test_two_new_primaries_are_refused(refused: Any) -> None:
    problem = ("invalidValue", "Operations[1]: emails must not have more than one primary value.")
    both = [{"value": "1", "primary": True}, {"value": "2", "primary": True}]
    assert refused(MAILED, add("title", "T"), add("emails", both)) == problem
    assert refused(MAILED, add("title", "T"), replace("emails.primary", True)) == problem


@pytest.mark.parametrize(
    "operation",
    [
        remove('emails[type eq "fax"]'),
        remove('emails[type eq "fax"].value'),
        remove('phoneNumbers[type eq "work"]'),
        replace('emails[type eq "fax"]', None),
        replace('emails[type sw "f"].value', "x"),
        replace('emails[type eq "fax" or type eq "telex"].value', "x"),
        add("emails[not (type pr)]", {"value": "x"}),
        replace('emails[value eq "gone@example.com"].value', "new@example.com"),
        replace('emails[type eq "fax"]', {"type": "telex"}),
        replace('emails[type eq "fax" and type eq "telex"].value', "x"),
    ],
)
def test_a_filter_that_chooses_nothing_has_no_target(refused: Any, operation: dict[str, Any]) -> None:
    name = operation["path"].partition("[")[0]
    problem = ("noTarget", f"Operations[1]: {name} has no value that matches the filter.")
    assert refused(MAILED, add("title", "T"), operation) == problem


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("shoeSize", "path is not an attribute of this resource type"),
        ("name.shoeSize", "path is not an attribute of this resource type"),
        ("urn:example:other:title", "path is not an attribute of this resource type"),
        ("name.familyName.x", "path is not an attribute of this resource type"),
        ("nic\u212aName", "path is not an attribute of this resource type"),
        ('shoes[type eq "x"]', "path is not an attribute of this resource type"),
        ('name[familyName eq "x"]', "path has a filter on an attribute with a single value"),
        ('emails[type eq "x"].shoe', "path names an unknown sub-attribute of emails"),
    ],
)
@pytest.mark.parametrize("change", [add, replace, lambda path, _: remove(path)])
def test_a_path_to_nowhere_is_invalid(refused: Any, path: str, detail: str, change: Any) -> None:
    assert refused(MAILED, change(path, "x")) == ("invalidPath", f"Operations[0]: {detail}.")


@pytest.mark.parametrize(
    ("path", "scim_type"),
    [
        ("emails[type eq", "invalidPath"),
        ('emails[type eq "work"', "invalidPath"),
        ('emails[type eq "work"]value', "invalidPath"),
        ('emails[type eq "work"].value.x', "invalidPath"),
        ("emails[]", "invalidPath"),
        ("[value pr]", "invalidPath"),
        ('emails[shoe eq "x"]', "invalidFilter"),
        ("emails[primary gt true]", "invalidFilter"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(refused: Any, path: str, scim_type: str) -> None:
    found, detail = refused(MAILED, remove(path))
    assert found == scim_type
    assert detail.startswith("Operations[0]: ")


@pytest.mark.parametrize(
    "path", ["id", "meta", "groups", "meta.created", 'groups[value eq "a"]', f"{ENTERPRISE}:manager.displayName"]
)
@pytest.mark.parametrize("change", [add, replace, lambda path, _: remove(path)])
def test_a_path_to_what_is_read_only_is_refused(refused: Any, path: str, change: Any) -> None:
    scim_type, detail = refused(MAILED, change(path, "x"))
    assert scim_type == "mutability"
    assert detail == f"Operations[0]: {path.partition('[')[0]} is read-only."


@pytest.mark.parametrize(
    "operation", [remove("userName"), replace("userName", None), replace(None, {"userName": None})]
)
def test_what_is_required_cannot_be_removed(refused: Any, operation: dict[str, Any]) -> None:
    assert refused(MINIMAL, operation) == ("mutability", "Operations[0]: userName is required and cannot be removed.")


@pytest.mark.parametrize("name", ["", "  "])
def test_what_is_required_cannot_be_blank(refused: Any, name: str) -> None:
    assert refused(MINIMAL, replace("userName", name)) == ("invalidValue", "Operations[0]: userName is required.")


@pytest.mark.parametrize(
    ("operation", "detail"),
    [
        (add("active", "yes"), "active must be a boolean."),
        (replace("name", "Jensen"), "name must be an object."),
        (replace("name.familyName", 1), "name.familyName must be a string."),
        (replace("name", {"a": 1, "familyName": 1}), "name.familyName must be a string."),
        (add("emails", "b@example.com"), "emails must be a list."),
        (add("emails", [HOME, {"value": 1}]), "emails[1].value must be a string."),
        (replace('emails[type eq "work"].value', 1), "emails.value must be a string."),
        (replace('emails[type eq "work"]', 1), "emails must be an object."),
        (replace('emails[type eq "fax"].value', 1), "emails.value must be a string."),
        (add(ENTERPRISE, "x"), f"{ENTERPRISE} must be an object of attributes."),
        (add(f"{ENTERPRISE}:manager.value", 1), f"{ENTERPRISE}:manager.value must be a string."),
        (add(None, "x"), "value must be an object of attributes."),
        (add(None, None), "value must be an object of attributes."),
        (add(None, {"emails": {"value": 1}}), "emails[0].value must be a string."),
        (replace("userName", "x" * 1025), "userName must not be longer than 1024 bytes."),
        (
            add("emails", [{"value": str(n)} for n in range(MAX_VALUES)]),
            f"emails must not have more than {MAX_VALUES} values.",
        ),
        ({"op": "remove", "path": "emails", "value": [1]}, "emails[0] must be an object."),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_without_itself(
    refused: Any, operation: dict[str, Any], detail: str
) -> None:
    assert refused(MAILED, add("title", "T"), operation) == ("invalidValue", f"Operations[1]: {detail}")


def test_a_name_given_twice_is_refused(refused: Any) -> None:
    assert refused(MINIMAL, add(None, {"title": "a", "TITLE": "b"}))[0] == "invalidSyntax"
    problem = ("invalidSyntax", "Operations[0]: name.givenName is given twice, in different case.")
    assert refused(MINIMAL, add("name", {"givenName": "a", "GIVENNAME": "b"})) == problem


def test_removing_the_resource_itself_has_no_target(refused: Any) -> None:
    assert refused(MINIMAL, remove(CORE))[0] == "noTarget"


def test_a_password_of_the_wrong_type_is_refused_without_being_shown(refused: Any) -> None:
    assert refused(MINIMAL, add("password", ["t1meMa$heen", "t1meMa$heen"])) == (
        "invalidValue",
        "Operations[0]: password must be a string.",
    )


def test_what_may_cost_more_than_a_request_may_is_refused(refused: Any) -> None:
    many = {**MINIMAL, "roles": [{"value": str(n)} for n in range(MAX_VALUES)]}
    scim_type, detail = refused(many, *[add('roles[value co "x"]', None)] * 100)
    assert scim_type == "tooMany"
    assert detail.startswith(f"Operations[{MAX_BUDGET // (MAX_VALUES * (1 + COST_OF_A_TEST))}]")


def test_a_list_is_never_longer_than_it_may_be_not_even_between_two_operations(refused: Any) -> None:
    many = {**MINIMAL, "roles": [{"value": str(n)} for n in range(MAX_VALUES)]}
    problem = ("invalidValue", f"Operations[0]: roles must not have more than {MAX_VALUES} values.")
    assert refused(many, add("roles", ["one more"]), remove("roles")) == problem
