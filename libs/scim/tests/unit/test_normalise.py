"""Normalising: whole resources, as clients send them."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import Context, EnterpriseUser, User

from quartet_scim.errors import ScimError
from quartet_scim.json import dump, parse
from quartet_scim.normalise import MAX_INDEXED_ATTRIBUTE_BYTES, Normaliser
from quartet_scim.schema import (
    Attribute,
    Returned,
    Schema,
    Type,
    common_attributes,
    enterprise_user_schema,
    group_resource_type,
    user_resource_type,
    user_schema,
)

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
USERS = Normaliser(user_resource_type())
GROUPS = Normaliser(group_resource_type())


def user(**attributes: Any) -> dict[str, Any]:
    return {"schemas": [CORE], "userName": "bjensen@example.com", **attributes}


def kept(**attributes: Any) -> dict[str, Any]:
    """What is kept of a user with these attributes, without what every user has."""
    found = USERS.normalise(user(**attributes)).attributes
    assert found.pop("userName") == "bjensen@example.com"
    assert found.pop("schemas")[0] == CORE
    return found


def refused(payload: object, normaliser: Normaliser = USERS) -> ScimError:
    with pytest.raises(ScimError) as caught:
        normaliser.normalise(payload)
    assert caught.value.status == 400
    return caught.value


def test_a_full_user_in_canonical_form_is_kept_as_it_is_but_for_the_password(enterprise_user: dict[str, Any]) -> None:
    before = copy.deepcopy(enterprise_user)
    found = USERS.normalise(enterprise_user)
    assert enterprise_user == before
    assert found.secrets == {"password": enterprise_user.pop("password")}
    assert found.attributes == enterprise_user


def test_the_oracle_accepts_what_is_kept(enterprise_user: dict[str, Any]) -> None:
    kept_document = USERS.normalise(enterprise_user).attributes
    read = User[EnterpriseUser].model_validate(kept_document, scim_ctx=Context.RESOURCE_CREATION_REQUEST)
    assert read.model_dump(scim_ctx=Context.RESOURCE_CREATION_REQUEST) == kept_document


def test_names_and_urns_of_any_case_become_canonical() -> None:
    found = USERS.normalise(
        {
            "SCHEMAS": [CORE.upper()],
            "USERNAME": "bjensen",
            "Emails": [{"VALUE": "b@example.com", "Primary": "True"}],
            ENTERPRISE.lower(): {"EmployeeNumber": "1"},
        }
    )
    assert found.attributes == {
        "schemas": [CORE, ENTERPRISE],
        "userName": "bjensen",
        "emails": [{"value": "b@example.com", "primary": True}],
        ENTERPRISE: {"employeeNumber": "1"},
    }


def test_the_schemas_are_those_that_are_really_there() -> None:
    named = [ENTERPRISE, "urn:example:other", CORE]
    without = USERS.normalise({"schemas": named, "userName": "b", ENTERPRISE: {"department": None}})
    assert without.attributes == {"schemas": [CORE], "userName": "b"}
    unnamed = USERS.normalise({"schemas": [CORE], "userName": "b", ENTERPRISE: {"department": "D"}})
    assert unnamed.attributes["schemas"] == [CORE, ENTERPRISE]


@pytest.mark.parametrize("schemas", [None, [], [ENTERPRISE], [GROUP], CORE, {CORE: 1}, [CORE, 1], [None]])
def test_a_resource_that_does_not_name_its_own_schema_is_refused(schemas: Any) -> None:
    error = refused({"schemas": schemas, "userName": "b"})
    assert error.scim_type == "invalidSyntax"
    assert error.detail.startswith("schemas ")


def test_a_resource_without_schemas_is_refused() -> None:
    assert refused({"userName": "b"}).detail == "schemas is required."


@pytest.mark.parametrize("payload", [None, [], "text", 1, True])
def test_what_is_not_an_object_is_refused(payload: object) -> None:
    assert refused(payload).scim_type == "invalidSyntax"


def test_what_the_client_may_not_write_is_dropped_silently() -> None:
    manager = {"value": "m", "displayName": "Boss"}
    sent = {"id": "mine", "META": {"version": 1}, "groups": [{"value": "admins"}], ENTERPRISE: {"manager": manager}}
    assert kept(**sent) == {ENTERPRISE: {"manager": {"value": "m"}}}


@pytest.mark.parametrize("name", [None, "", "  \t", [], {}])
def test_a_user_without_a_user_name_is_refused(name: Any) -> None:
    assert refused({"schemas": [CORE], "userName": name}).detail.startswith("userName ")


@pytest.mark.parametrize("name", [None, " "])
def test_a_group_without_a_display_name_is_refused(name: Any) -> None:
    error = refused({"schemas": [GROUP], "displayName": name}, GROUPS)
    assert (error.scim_type, error.detail) == ("invalidValue", "displayName is required.")


def test_a_user_needs_no_display_name() -> None:
    assert kept() == {}


def test_unknown_attributes_and_unknown_schemas_are_dropped() -> None:
    assert kept(shoeSize=42, **{"urn:example:other": {"a": 1}, ENTERPRISE: {"shoeSize": 42}}) == {}


def test_an_error_names_the_path_also_inside_an_extension() -> None:
    assert refused(user(emails=[{}, {}, {"value": 1}])).detail == "emails[2].value must be a string."
    wrong = refused(user(**{ENTERPRISE: {"manager": {"value": 1}}}))
    assert wrong.detail == f"{ENTERPRISE}:manager.value must be a string."
    assert refused(user(**{ENTERPRISE: []})).detail == f"{ENTERPRISE} must be an object."


def test_an_error_never_repeats_a_value() -> None:
    error = refused(user(password=["t1meMa$heen", "t1meMa$heen"]))
    assert error.detail == "password must be a string."


def test_the_type_of_a_value_may_be_any_word() -> None:
    assert kept(emails=[{"value": "b@example.com", "type": "holiday"}])["emails"][0]["type"] == "holiday"


@pytest.mark.parametrize("attribute", ["userName", "externalId", "displayName"])
def test_what_is_searched_by_is_short_enough_for_a_database_index(attribute: str) -> None:
    longest = "é" * (MAX_INDEXED_ATTRIBUTE_BYTES // 2)
    assert USERS.normalise({**user(), attribute: longest}).attributes[attribute] == longest
    assert refused({**user(), attribute: longest + "x"}).detail.startswith(f"{attribute} must not be longer")


def test_the_members_of_a_group_keep_their_ids_and_lose_the_names_that_the_client_gave() -> None:
    members = [{"value": "a", "display": "Babs", "type": "User"}, {"value": "b"}, {"value": "b"}]
    found = GROUPS.normalise({"schemas": [GROUP], "displayName": "G", "members": members})
    assert found.attributes["members"] == [{"value": "a", "type": "User"}, {"value": "b"}]


def test_a_secret_is_not_shown_when_the_result_is_printed() -> None:
    assert "t1meMa$heen" not in repr(USERS.normalise(user(password="t1meMa$heen")))


def test_a_secret_of_an_extension_is_split_off_under_its_urn() -> None:
    door = Schema("urn:example:Door", "Door", "", (Attribute("pin", returned=Returned.NEVER), Attribute("floor")))
    normaliser = Normaliser(user_resource_type(door))
    both = normaliser.normalise(user(**{"urn:example:door": {"PIN": "1234", "floor": "2"}}))
    assert both.secrets == {"urn:example:Door:pin": "1234"}
    assert both.attributes["urn:example:Door"] == {"floor": "2"}
    alone = normaliser.normalise(user(**{"urn:example:Door": {"pin": "1234"}}))
    assert alone.secrets == {"urn:example:Door:pin": "1234"}
    assert alone.attributes == user()


def test_a_required_attribute_of_an_extension_is_demanded_only_where_the_extension_is_there() -> None:
    badge = Schema("urn:example:Badge", "Badge", "", (Attribute("number", Type.INTEGER, required=True),))
    normaliser = Normaliser(user_resource_type(badge))
    assert normaliser.normalise(user()).attributes == user()
    wrong = refused(user(**{"urn:example:Badge": {"number": None}}), normaliser)
    assert wrong.detail == "urn:example:Badge:number is required."


def test_a_normaliser_remembers_nothing_between_resources() -> None:
    USERS.normalise(user(password="one", **{ENTERPRISE: {"department": "D"}}))
    assert USERS.normalise(user()).secrets == {}
    assert USERS.normalise(user()).attributes == user()


NAMES = [attribute.name for attribute in (*common_attributes(), *user_schema().attributes)]
SUBS = sorted({sub.name for attribute in user_schema().attributes for sub in attribute.sub_attributes})
EXTENSION_NAMES = [attribute.name for attribute in enterprise_user_schema().attributes]
CASED = st.sampled_from([*NAMES, *SUBS, *EXTENSION_NAMES, "schemas", CORE, ENTERPRISE, "other"]).flatmap(
    lambda name: st.sampled_from([name, name, name.upper(), name.lower()])
)
SIMPLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))  # lone surrogates too
    | st.sampled_from(["True", "false", "aGk=", "work", "2026-01-31T09:30:00Z"])
)
ANYTHING = st.recursive(
    SIMPLE, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CASED | st.text(), inner, max_size=4)
)
OBJECTS = st.dictionaries(st.sampled_from(SUBS), st.sampled_from(["a", "b", "aGk=", "work", None]), max_size=5)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    attribute.name: (
        st.booleans() | st.sampled_from(["True", "False"])
        if attribute.type is Type.BOOLEAN
        else st.lists(OBJECTS.map(lambda one: {k: v for k, v in one.items() if k != "primary"}), max_size=4)
        if attribute.multi_valued
        else OBJECTS
        if attribute.type is Type.COMPLEX
        else st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
    )
    for attribute in user_schema().attributes
    if attribute.name not in ("userName", "x509Certificates")
}


@given(ANYTHING | st.dictionaries(CASED, ANYTHING).map(lambda more: {**more, "schemas": [CORE], "userName": "b"}))
def test_any_json_is_kept_or_refused_with_a_scim_error(payload: object) -> None:
    try:
        found = USERS.normalise(payload)
    except ScimError:
        assert refused(payload).scim_type in ("invalidValue", "invalidSyntax")
    else:
        assert parse(dump(found.attributes).encode()) == found.attributes
        assert not found.attributes.keys() & {"id", "meta", "groups", "password"}


@given(st.fixed_dictionaries({}, optional=GOOD))
def test_normalising_twice_is_normalising_once(attributes: dict[str, Any]) -> None:
    once = USERS.normalise(user(**attributes))
    again = USERS.normalise(once.attributes)
    assert again.attributes == once.attributes
    assert again.secrets == {}
    assert once.secrets == {name: attributes[name] for name in ("password",) if name in attributes}


@given(st.fixed_dictionaries({}, optional=GOOD), st.sampled_from([str.upper, str.lower, str.swapcase]))
def test_the_case_of_names_makes_no_difference(attributes: dict[str, Any], cased: Any) -> None:
    def recased(value: Any) -> Any:
        if isinstance(value, dict):
            return {cased(key): recased(item) for key, item in value.items()}
        return [recased(item) for item in value] if isinstance(value, list) else value

    payload = user(**attributes)
    assert USERS.normalise({**recased(payload), cased("schemas"): [CORE]}) == USERS.normalise(payload)


def test_a_list_of_one_is_accepted_for_a_single_valued_attribute() -> None:
    name, manager = {"familyName": "B", "givenName": "A"}, {"value": "26118915"}
    sent = user(
        displayName=["B"],
        title=[{"value": "boss"}],
        active=[False],
        name=[{"familyName": ["B"], "givenName": "A"}],
        emails=[{"value": ["b@example.com"]}],
        **{ENTERPRISE: {"manager": [manager]}},
    )
    sent["userName"] = ["bjensen"]
    found = USERS.normalise(sent).attributes
    assert found.pop("schemas") == [CORE, ENTERPRISE]
    assert found == {
        "userName": "bjensen",
        "displayName": "B",
        "title": "boss",
        "active": False,
        "name": name,
        "emails": [{"value": "b@example.com"}],
        ENTERPRISE: {"manager": manager},
    }
    for wrong in (["B", "C"], [None], [{"x": "B"}], [["B"]]):
        assert refused(user(title=wrong)).detail == "title must be a string."
