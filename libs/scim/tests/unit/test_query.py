"""Questions for many resources, by query string and by SearchRequest."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scim2_models import SearchRequest

from quartet_scim.errors import ScimError
from quartet_scim.paging import Page
from quartet_scim.query import NAMES, SEARCH_SCHEMA, Query, query_of_body, query_of_parameters


def asked(**parameters: str) -> Query:
    return query_of_parameters((name, [text]) for name, text in parameters.items())


def searched(**members: Any) -> Query:
    return query_of_body({"schemas": [SEARCH_SCHEMA], **members})


def refused(action: Any, **given: Any) -> tuple[str | None, str]:
    with pytest.raises(ScimError) as caught:
        action(**given)
    assert caught.value.status == 400
    return caught.value.scim_type, caught.value.detail


@pytest.mark.parametrize(
    ("parameters", "page"),
    [
        ({}, Page(1, 100)),
        ({"startIndex": "1", "count": "10"}, Page(1, 10)),
        ({"startIndex": "0"}, Page(1, 100)),
        ({"startIndex": "-5", "count": "-1"}, Page(1, 0)),
        ({"startIndex": "201", "count": "0"}, Page(201, 0)),
        ({"count": "200"}, Page(1, 200)),
        ({"count": "201"}, Page(1, 200)),
        ({"startIndex": "999999999999999999", "count": "007"}, Page(999_999_999_999_999_999, 7)),
    ],
)
def test_a_page_is_read_as_the_rfc_says(parameters: Mapping[str, str], page: Page) -> None:
    assert asked(**parameters).page == page
    assert searched(**{name: int(text) for name, text in parameters.items()}).page == page
    assert searched(**parameters).page == page


def test_everything_that_is_asked_for_is_read_in_both_ways() -> None:
    query = Query(Page(1, 5), 'userName sw "b"', "name.familyName", True, "abc", "userName,emails")
    parameters = {
        "filter": 'userName sw "b"',
        "sortby": " name.familyName ",
        "SORTORDER": "Descending",
        "count": "5",
        "cursor": "abc",
        "attributes": "userName,emails",
        "unknown": "x",
    }
    assert asked(**parameters) == query
    assert searched(**parameters) == query
    assert searched(excludedAttributes=["members"]).excluded == ["members"]


def test_a_cursor_without_a_value_asks_for_the_first_page() -> None:
    assert asked(cursor="").cursor == "" == searched(cursor="").cursor
    assert asked().cursor is None is searched(cursor=None).cursor


@pytest.mark.parametrize("name", ["filter", "startIndex", "count"])
def test_a_parameter_without_a_value_is_not_given(name: str) -> None:
    assert asked(**{name: ""}) == asked()


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_is_given_once(name: str) -> None:
    twice: list[list[tuple[str, list[str]]]] = [[(name, ["1", "1"])], [(name, ["1"]), (name.upper(), ["1"])]]
    for parameters in (*twice, [(name, [])]):
        assert refused(query_of_parameters, parameters=parameters) == ("invalidValue", f"{name} must be given once.")
    scim_type, detail = refused(searched, **{name: "1", name.upper(): "1"})
    assert (scim_type, name in detail) == ("invalidSyntax", True)


@pytest.mark.parametrize("text", [" ", "one", "1.0", "1e3", "+1", "٣", "9" * 19])
@pytest.mark.parametrize("name", ["startIndex", "count"])
def test_what_is_no_whole_number_is_refused_by_name(name: str, text: str) -> None:
    for action in (asked, searched):
        assert refused(action, **{name: text}) == ("invalidValue", f"{name} must be a whole number.")


def test_an_invalid_count_with_a_cursor_has_an_error_of_its_own() -> None:
    assert refused(asked, count="many", cursor="")[0] == "invalidCount"
    assert asked(count="-1", cursor="").page.count == 0


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"count": True}, "count"),
        ({"count": 1.5}, "count"),
        ({"startIndex": [1]}, "startIndex"),
        ({"filter": 5}, "filter"),
        ({"sortBy": ["userName"]}, "sortBy"),
        ({"cursor": 1}, "cursor"),
        ({"attributes": 5}, "attributes"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"excludedAttributes": ["a", 5]}, "excludedAttributes"),
        ({"sortOrder": "up"}, "sortOrder"),
        ({"sortOrder": ""}, "sortOrder"),
        ({"sortBy": " "}, "sortBy"),
    ],
)
def test_a_member_of_a_wrong_kind_is_refused_by_name(members: dict[str, Any], word: str) -> None:
    scim_type, detail = refused(searched, **members)
    assert (scim_type, word in detail) == ("invalidValue", True)


def test_an_index_and_a_cursor_exclude_each_other() -> None:
    for action in (asked, searched):
        scim_type, detail = refused(action, startIndex="1", cursor="")
        assert (scim_type, "startIndex and cursor" in detail) == ("invalidValue", True)


@pytest.mark.parametrize("schemas", [None, [], ["urn:other"], 5, {}])
def test_a_body_that_does_not_say_what_it_is_is_refused(schemas: Any) -> None:
    with pytest.raises(ScimError, match="schemas must hold") as caught:
        query_of_body({"schemas": schemas, "count": 1})
    assert caught.value.scim_type == "invalidSyntax"


def test_the_body_of_a_question_asks_the_same_and_the_oracle_reads_it() -> None:
    query = asked(filter="active eq true", sortBy="userName", sortOrder="descending", count="7", attributes="userName")
    body = query.body()
    assert query_of_body(body) == query.__class__(**{**fields(query), "attributes": ["userName"]})
    oracle: SearchRequest[Any] = SearchRequest.model_validate_json(json.dumps(body))
    assert (oracle.count, oracle.start_index, str(oracle.sort_by)) == (7, 1, "userName")
    paged = asked(cursor="x", excludedAttributes="groups")
    assert query_of_body(paged.body()).cursor == "x"
    assert "startIndex" not in paged.body()
    assert query.at(Page(3, 1), "y").filter == query.filter


def fields(query: Query) -> dict[str, Any]:
    return {name: getattr(query, name) for name in Query.__dataclass_fields__}


@given(st.integers(-(10**17), 10**17), st.integers(-(10**17), 10**17))
def test_every_page_is_one_that_a_database_can_answer(start_index: int, count: int) -> None:
    page = asked(startIndex=str(start_index), count=str(count)).page
    assert 0 <= page.offset < 2**63
    assert 0 <= page.count <= 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*NAMES, "schemas", "COUNT"]), json_values))
def test_no_body_causes_anything_but_a_scim_error(body: dict[str, Any]) -> None:
    with suppress(ScimError):
        query_of_body({"schemas": [SEARCH_SCHEMA], **body})


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("filter", "urn:a:b " * 900_000, "invalidFilter"),
        ("sortBy", "a" * 600_000, "invalidValue"),
        ("cursor", "a" * 600_000, "invalidCursor"),
        ("attributes", ["userName"] * 600_000, "invalidValue"),
        ("excludedAttributes", ["userName"] * 1_001, "invalidValue"),
    ],
)
def test_what_is_too_long_is_refused_before_it_is_read(name: str, value: str | list[str], kind: str) -> None:
    with pytest.raises(ScimError) as refused:
        query_of_body({"schemas": [SEARCH_SCHEMA], name: value})
    assert (refused.value.status, refused.value.scim_type) == (400, kind)
    assert len(refused.value.detail) < 200
