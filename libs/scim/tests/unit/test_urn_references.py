"""Which schemas a request names: found wherever a value could be written to or asked for under one."""

import pytest

from quartet_scim.schema import user_resource_type
from quartet_scim.urn_references import has_unknown, urns_in_message, urns_in_text

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
BADGE = "urn:example:Badge"


def test_a_resource_names_the_schemas_under_which_it_has_values() -> None:
    assert list(urns_in_message({"schemas": [CORE, BADGE], "userName": "b", "URN:example:Badge": {}, "u": 1})) == [
        "URN:example:Badge"
    ]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": f"{BADGE}:number", "value": 1},
        {"op": "add", "Path": BADGE, "value": {"number": 1}},
        {"op": "add", "value": {BADGE: {"number": 1}}},
        {"op": "add", "value": {f"{BADGE}:number": 1}},
        {"op": "remove", "path": f'{BADGE}:doors[value eq "x"]'},
    ],
)
def test_a_patch_names_the_schemas_that_it_writes_to(operation: object) -> None:
    known = user_resource_type()
    assert has_unknown(known, urns_in_message({"operations": [operation]}))
    assert not has_unknown(
        known,
        urns_in_message(
            {"Operations": [{"path": f"{ENTERPRISE}:manager"}, {"path": f"{ENTERPRISE}.manager"}, {"path": "title"}]}
        ),
    )


@pytest.mark.parametrize("odd", [{}, {"Operations": 1}, {"Operations": [1, None, {"path": 1, "value": [BADGE]}]}])
def test_what_is_no_patch_names_nothing(odd: dict[str, object]) -> None:
    assert not list(urns_in_message(odd))


def test_a_search_names_the_schemas_that_it_asks_for() -> None:
    known = user_resource_type()
    assert has_unknown(known, urns_in_message({"filter": f'{BADGE}:number eq "1"'}))
    assert has_unknown(known, urns_in_message({"sortBy": f"{BADGE}:number"}))
    assert has_unknown(known, urns_in_message({"excludedAttributes": ["id", BADGE]}))
    assert not has_unknown(known, urns_in_message({"attributes": ["userName", 1], "schemas": [BADGE]}))


def test_filters_and_lists_of_attributes_name_schemas() -> None:
    known = user_resource_type()
    assert has_unknown(known, urns_in_text(f'userName pr and {BADGE}:number eq "1"'))
    assert has_unknown(known, urns_in_text(None, f"userName,{BADGE.upper()}"))
    assert not has_unknown(known, urns_in_text(f"{ENTERPRISE}:manager.value pr", f"{CORE}:userName,id", None, ""))


def test_what_is_refused_for_its_length_names_nothing() -> None:
    assert not list(urns_in_text("urn:a:b " * 900_000))
    assert not list(urns_in_message({f"urn:example:a{number}": {} for number in range(1_001)}))
    assert not list(urns_in_message({"Operations": [{"op": "add", "path": "urn:a:b " * 900_000}]}))


def test_a_urn_that_is_repeated_is_compared_once() -> None:
    compared = 0

    class Urn(str):
        def lower(self) -> str:
            nonlocal compared
            compared += 1
            return str.lower(self)

    assert not has_unknown(user_resource_type(), [Urn(user_resource_type().schema.id)] * 1_000)
    assert compared == 1
