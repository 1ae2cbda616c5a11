"""Which filters make sense for a resource type, and under which names its attributes are known."""

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.filters import Condition, Path, Resolver, conditions, matches, parse
from quartet_scim.schema import Attribute, ResourceType, Schema, group_resource_type, user_resource_type

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
BADGE = "urn:example:params:scim:schemas:extension:badge:2.0:User"


@pytest.fixture(scope="session")
def resolver(badge_users: ResourceType) -> Resolver:
    return Resolver(badge_users)


def target_name(condition: Condition) -> str:
    assert isinstance(condition, conditions.Test)
    return condition.target.name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("userName", "userName"),
        ("USERNAME", "userName"),
        (f"{USER}:username", "userName"),
        (f"{USER.upper()}:Name.FAMILYNAME", "name.familyName"),
        ("emails", "emails.value"),
        ("Emails.Value", "emails.value"),
        ("externalid", "externalId"),
        ("META.resourcetype", "meta.resourceType"),
        ("schemas", "schemas"),
        (f"{ENTERPRISE.lower()}:department", f"{ENTERPRISE}:department"),
        (f"{ENTERPRISE}:manager", f"{ENTERPRISE}:manager.value"),
        (f"{ENTERPRISE}.manager", f"{ENTERPRISE}:manager.value"),
        (f"{ENTERPRISE.upper()}.manager.value", f"{ENTERPRISE}:manager.value"),
        (f"{USER}.name.familyName", "name.familyName"),
        (f"{BADGE}:tags", f"{BADGE}:Tags"),
    ],
)
def test_an_attribute_is_known_by_its_name_in_any_case(resolver: Resolver, written: str, name: str) -> None:
    assert target_name(resolver.resolve(parse(f'{written} eq "x"'))) == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nme pr", "There is no attribute nme."),
        ("department pr", f"There is no attribute department. Its full name is {ENTERPRISE}:department."),
        ("name.nick pr", "There is no attribute name.nick."),
        ("urn:example:other:userName pr", "There is no attribute urn:example:other:userName."),
        ("emails[kind pr]", "emails has no sub-attribute kind."),
        ("emails[emails.type pr]", "emails has no sub-attribute emails.type."),
        ("name[familyName pr]", "name has a single value and cannot be filtered with brackets."),
        ('name eq "x"', "name is complex: compare one of its sub-attributes."),
        ('addresses co "x"', "addresses is complex: compare one of its sub-attributes."),
        ("active gt true", "active is of type boolean, which cannot be compared with gt."),
        ('active co "t"', "active is of type boolean, which cannot be compared with co."),
        ('active eq "yes"', "active is compared with true or false."),
        ("active eq 1", "active is compared with true or false."),
        ('x509Certificates gt "x"', "x509Certificates.value is of type binary, which cannot be compared with gt."),
        ("userName eq 1", "userName is compared with a string."),
        ("userName eq true", "userName is compared with a string."),
        ("userName gt null", "userName: null can be compared with eq and ne only."),
        (f'{BADGE}:level eq "1"', f"{BADGE}:level is compared with a number."),
        (f"{BADGE}:level eq true", f"{BADGE}:level is compared with a number."),
        (f"{BADGE}:level co 1", f"{BADGE}:level is of type integer, which cannot be compared with co."),
        ('meta.created gt "yesterday"', "meta.created is compared with a date and time such as 2026-01-31T09:30:00Z."),
        ('meta.created eq "2026-02-30T00:00:00Z"', "meta.created is compared with a date and time"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(resolver: Resolver, text: str, problem: str) -> None:
    with pytest.raises(ScimError) as caught:
        resolver.resolve(parse(text))
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidFilter")
    assert caught.value.detail.startswith(problem)


@pytest.mark.parametrize(
    "text",
    [
        'password eq "t1meMa$heen"',
        "PASSWORD pr",
        f'{USER}:password sw "t1me"',
        'not (password ne "t1meMa$heen")',
        f'{BADGE}:pin eq "t1meMa$heen"',
        f"active eq true or {BADGE}:PIN pr",
        "password eq null",
    ],
)
@pytest.mark.parametrize("unknown_is_absent", [False, True])
def test_a_secret_is_never_filterable(resolver: Resolver, text: str, unknown_is_absent: bool) -> None:
    with pytest.raises(ScimError, match="is sensitive and cannot be used in a filter") as caught:
        resolver.resolve(parse(text), unknown_is_absent=unknown_is_absent)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidFilter")
    assert "t1me" not in caught.value.detail


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('members eq "x"', False),
        ('members.value ne "x"', True),
        ("members pr", False),
        ("members eq null", True),
        ("members ne null", False),
        ('members[value eq "x"]', False),
        ('emails[kind eq "x"]', False),
    ],
)
def test_an_attribute_of_another_type_has_no_value_when_asked_over_more_types(text: str, holds: bool) -> None:
    condition = Resolver(user_resource_type()).resolve(parse(text), unknown_is_absent=True)
    assert matches(condition, {"emails": [{"value": "x"}]}) is holds
    assert "emails" in text or condition == conditions.Constant(holds)


@pytest.mark.parametrize(("written", "value"), [("True", True), ("FALSE", False), ("true", True)])
def test_a_boolean_may_be_a_string_as_entra_id_sends_it(resolver: Resolver, written: str, value: bool) -> None:
    condition = resolver.resolve(parse(f'active eq "{written}"'))
    assert condition == resolver.resolve(parse(f"active eq {str(value).lower()}"))


def test_not_equal_is_the_opposite_of_equal(resolver: Resolver) -> None:
    assert resolver.resolve(parse('title ne "x"')) == conditions.Negated(resolver.resolve(parse('title eq "x"')))


def test_a_filter_in_brackets_is_resolved_for_the_element() -> None:
    groups = Resolver(group_resource_type())
    condition = groups.resolve_inside(Path("MEMBERS"), parse('VALUE eq "x" and type eq "user"'))
    assert matches(condition, {"value": "x", "type": "User"})
    assert not matches(condition, {"value": "X", "type": "User"})
    with pytest.raises(ScimError, match="displayName has a single value"):
        groups.resolve_inside(Path("displayName"), parse("value pr"))


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a b", "", "a.b", "é", "a\\b"])
def test_a_schema_whose_names_no_filter_could_hold_is_refused(name: str) -> None:
    odd = Schema("urn:example:odd", "Odd", "", (Attribute(name),))
    with pytest.raises(ValueError, match="is not an attribute's name"):
        Resolver(user_resource_type(odd))
    with pytest.raises(ValueError, match="is not a URN"):
        Resolver(user_resource_type(Schema(f"urn:x:'{name}", "Odd", "", ())))
