"""Projection: which attributes an answer holds (RFC 7644 3.9), by name, by URN and by `returned`."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import Context, EnterpriseUser, ResponseParameters, User

from quartet_scim.attribute_names import name_table
from quartet_scim.errors import ScimError
from quartet_scim.projection import Projector
from quartet_scim.schema import Attribute, Returned, Schema, Type, group_resource_type, user_resource_type

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
USERS = Projector(user_resource_type())
DOCUMENT: dict[str, Any] = {
    "schemas": [CORE, ENTERPRISE],
    "id": "2819c223",
    "userName": "bjensen",
    "name": {"familyName": "Jensen", "givenName": "Barbara"},
    "emails": [{"value": "b@example.com", "type": "work", "primary": True}, {"value": "h@example.com"}],
    "active": False,
    ENTERPRISE: {"department": "Tours", "manager": {"value": "26118915", "displayName": "John"}},
    "groups": [{"value": "guides"}],
    "meta": {"resourceType": "User", "version": 'W/"3"'},
}
ALWAYS = {"schemas": DOCUMENT["schemas"], "id": "2819c223"}


def only(attributes: Any) -> dict[str, Any]:
    found = USERS.parse(attributes).apply(DOCUMENT)
    return {name: value for name, value in found.items() if name not in ALWAYS}


def lost(excluded: Any) -> set[str]:
    found = USERS.parse(excluded=excluded).apply(DOCUMENT)
    assert all(found[name] == DOCUMENT[name] for name in found if name not in ("name", "emails", ENTERPRISE))
    return DOCUMENT.keys() - found.keys()


@pytest.mark.parametrize("name", [f"{ENTERPRISE}:manager", f"{ENTERPRISE}.manager", f"{ENTERPRISE}.Manager.value"])
def test_the_name_behind_a_urn_may_follow_a_colon_or_a_dot(name: str) -> None:
    assert only(name)[ENTERPRISE]["manager"]["value"] == "26118915"


@pytest.mark.parametrize("nothing", [None, "", " , ", [], [""]])
def test_a_request_that_names_nothing_gets_everything(nothing: Any) -> None:
    for projection in (USERS.parse(nothing, None), USERS.parse(None, nothing), USERS.parse(nothing, nothing)):
        assert projection.is_everything
        assert projection.apply(DOCUMENT) == DOCUMENT
        assert projection.wants("groups")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("userName", {"userName": "bjensen"}),
        ("USERNAME, active", {"userName": "bjensen", "active": False}),
        (["userName", "active"], {"userName": "bjensen", "active": False}),
        (f"{CORE}:userName", {"userName": "bjensen"}),
        ("name.familyName", {"name": {"familyName": "Jensen"}}),
        ("name.familyName,name.givenName", {"name": DOCUMENT["name"]}),
        ("name.familyName,name", {"name": DOCUMENT["name"]}),
        ("name,name.familyName", {"name": DOCUMENT["name"]}),
        ("emails.value", {"emails": [{"value": "b@example.com"}, {"value": "h@example.com"}]}),
        ("emails.type", {"emails": [{"type": "work"}]}),
        ("emails.display", {}),
        (ENTERPRISE, {ENTERPRISE: DOCUMENT[ENTERPRISE]}),
        (f"{ENTERPRISE}:department", {ENTERPRISE: {"department": "Tours"}}),
        (f"{ENTERPRISE.lower()}:Manager.displayName", {ENTERPRISE: {"manager": {"displayName": "John"}}}),
        ("meta.version", {"meta": {"version": 'W/"3"'}}),
        ("id", {}),
        ("shoeSize", {}),
        ('userName,shoeSize,name.shoe,urn:other:x,emails[type eq "work"],user\u212aname', {"userName": "bjensen"}),
    ],
)
def test_what_is_asked_for_comes_with_what_always_comes(attributes: Any, expected: dict[str, Any]) -> None:
    assert only(attributes) == expected
    assert {name: value for name, value in USERS.parse(attributes).apply(DOCUMENT).items() if name in ALWAYS} == ALWAYS


def test_the_core_urn_names_the_whole_core() -> None:
    assert only(CORE).keys() == DOCUMENT.keys() - ALWAYS.keys() - {ENTERPRISE}


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        ("groups,meta", {"groups", "meta"}),
        ("Groups", {"groups"}),
        (ENTERPRISE, {ENTERPRISE}),
        ("id,schemas,userName", {"userName"}),
        ("shoeSize", set()),
        ("name.familyName,name.givenName", {"name"}),
        (CORE, DOCUMENT.keys() - {"id", "schemas", ENTERPRISE}),
    ],
)
def test_what_is_excluded_is_left_out_unless_it_always_comes(excluded: str, expected: set[str]) -> None:
    assert lost(excluded) == expected


def test_a_sub_attribute_can_be_excluded() -> None:
    found = USERS.parse(excluded=f"emails.value,name.givenName,{ENTERPRISE}:manager.value").apply(DOCUMENT)
    assert found["emails"] == [{"type": "work", "primary": True}]
    assert found["name"] == {"familyName": "Jensen"}
    assert found[ENTERPRISE] == {"department": "Tours", "manager": {"displayName": "John"}}


def test_both_at_once_exclude_each_other() -> None:
    with pytest.raises(ScimError) as caught:
        USERS.parse("userName", "emails")
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")


def test_names_that_are_no_texts_are_refused() -> None:
    with pytest.raises(ScimError) as caught:
        USERS.parse(excluded=["userName", 1])  # type: ignore[list-item] # as a search request may have it
    assert caught.value.detail == "excludedAttributes must be names of attributes."


def test_a_service_learns_what_it_need_not_look_up() -> None:
    groups = Projector(group_resource_type())
    assert groups.parse().wants("members")
    assert groups.parse("members.value").wants("members")
    assert groups.parse(excluded="members.display").wants("members")
    assert not groups.parse(excluded="MEMBERS").wants("members")
    assert not groups.parse("displayName").wants("members")
    assert groups.parse("displayName").wants("id")
    assert USERS.parse(f"{ENTERPRISE}:department").wants(ENTERPRISE)
    assert not USERS.parse("userName").wants(ENTERPRISE)


def test_only_what_leaves_something_out_is_not_everything() -> None:
    assert USERS.parse(excluded="id,shoeSize").is_everything
    assert not USERS.parse(excluded="groups").is_everything
    assert not USERS.parse("userName").is_everything


def test_a_secret_is_never_returned() -> None:
    for projection in (USERS.parse(), USERS.parse("password"), USERS.parse(excluded="emails")):
        assert "password" not in projection.apply({**DOCUMENT, "password": "t1meMa$heen"})
        assert not projection.wants("password")


BADGE = Schema(
    "urn:example:Badge",
    "Badge",
    "",
    (
        Attribute("photo", returned=Returned.REQUEST),
        Attribute("number", returned=Returned.ALWAYS),
        Attribute("colour"),
        Attribute(
            "door",
            Type.COMPLEX,
            sub_attributes=(
                Attribute("value", returned=Returned.ALWAYS),
                Attribute("floor"),
                Attribute("plan", returned=Returned.REQUEST),
            ),
        ),
    ),
)
BADGED = {
    "id": "1",
    "userName": "b",
    BADGE.id: {"photo": "p", "number": "n", "colour": "c", "door": {"value": "v", "floor": "f", "plan": "p"}},
}


@pytest.mark.parametrize(
    ("attributes", "excluded", "expected"),
    [
        (None, None, {"number": "n", "colour": "c", "door": {"value": "v", "floor": "f"}}),
        ("userName", None, {"number": "n"}),
        (f"{BADGE.id}:photo", None, {"number": "n", "photo": "p"}),
        (f"{BADGE.id}:door", None, {"number": "n", "door": {"value": "v", "floor": "f"}}),
        (f"{BADGE.id}:door.floor", None, {"number": "n", "door": {"value": "v", "floor": "f"}}),
        (f"{BADGE.id}:door.plan", None, {"number": "n", "door": {"value": "v", "plan": "p"}}),
        (BADGE.id, None, {"number": "n", "photo": "p", "colour": "c", "door": {"value": "v", "floor": "f"}}),
        (None, BADGE.id, {"number": "n"}),
        (None, f"{BADGE.id}:number,{BADGE.id}:door", {"number": "n", "colour": "c"}),
        (None, f"{BADGE.id}:door.floor", {"number": "n", "colour": "c", "door": {"value": "v"}}),
    ],
)
def test_an_attribute_says_when_it_is_returned(attributes: Any, excluded: Any, expected: dict[str, Any]) -> None:
    projection = Projector(user_resource_type(BADGE)).parse(attributes, excluded)
    assert projection.apply(BADGED)[BADGE.id] == expected
    assert not projection.is_everything


NAMES = st.sampled_from(sorted(name_table(user_resource_type()))).flatmap(
    lambda name: st.sampled_from([name, name.upper()])
)


@given(st.lists(NAMES | st.text(), max_size=4), st.booleans())
def test_any_names_leave_the_document_as_it_is_and_are_applied_once_for_all(names: list[str], keep: bool) -> None:
    before = copy.deepcopy(DOCUMENT)
    projection = USERS.parse(names, None) if keep else USERS.parse(None, names)
    once = projection.apply(DOCUMENT)
    assert before == DOCUMENT
    assert projection.apply(once) == once
    assert {name: once[name] for name in ALWAYS} == ALWAYS
    assert all(projection.wants(name) for name in once)
    if projection.is_everything:
        assert once == DOCUMENT


ORACLE_NAMES = st.lists(
    st.sampled_from(
        (
            "userName name name.familyName emails emails.type active meta id groups groups.value nickName "
            f"{ENTERPRISE} {ENTERPRISE}:department {ENTERPRISE}:manager.value {CORE}:userName"
        ).split()
    ),
    min_size=1,
    max_size=4,
)


@given(ORACLE_NAMES, st.booleans())
def test_the_oracle_returns_the_same(names: list[str], keep: bool) -> None:
    user = User[EnterpriseUser].model_validate(DOCUMENT)
    asked = {"attributes" if keep else "excluded_attributes": names}
    expected = user.model_dump(
        scim_ctx=Context.RESOURCE_QUERY_RESPONSE,
        response_parameters=ResponseParameters[User[EnterpriseUser]].model_validate(asked),
    )
    found = (USERS.parse(names) if keep else USERS.parse(None, names)).apply(DOCUMENT)
    assert {**found, "schemas": None} == {**expected, "schemas": None}


def test_names_are_counted_before_they_are_read() -> None:
    assert Projector(user_resource_type()).parse(["userName", "x"] * 500).wants("userName")
    for names in (["a"] * 1_001, ",".join(["a"] * 1_001), "," * 500_000):
        with pytest.raises(ScimError, match="at most 1000 names") as refused:
            Projector(user_resource_type()).parse(names)
        assert refused.value.scim_type == "invalidValue"


def test_a_name_that_is_repeated_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    projector, urn = Projector(user_resource_type()), user_resource_type().schema.id
    read: list[object] = []
    find = projector._ways_to

    def watched(named: Any) -> Any:
        read.append(named)
        return find(named)

    monkeypatch.setattr(projector, "_ways_to", watched)
    shown = projector.parse([urn, urn.upper()] * 500)
    assert shown == projector.parse([urn])
    assert len(read) == 2
