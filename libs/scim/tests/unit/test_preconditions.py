"""Conditions on versions."""

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.preconditions import ANY_VERSION, IfMatch, is_known_version


@pytest.mark.parametrize(
    "header", ['W/"3"', '"3"', '"1", W/"3"', "*", " * ", None, 'W/"1" ,"3" , "x y"'.replace("x y", "x-y")]
)
def test_a_write_goes_on_where_a_tag_is_the_present_version(header: str | None) -> None:
    IfMatch.parse(header).require(3)


@pytest.mark.parametrize("header", ['W/"2"', '"33"', '"1", "2"', '""'])
def test_a_write_of_another_version_is_refused(header: str) -> None:
    with pytest.raises(ScimError) as caught:
        IfMatch.parse(header).require(3)
    assert caught.value.status == 412


@pytest.mark.parametrize("header", ["", "3", "W/3", '"3', '"3" "4"', "w/*", 'W/"3",,', "**", ","])
def test_what_is_no_entity_tag_is_named(header: str) -> None:
    with pytest.raises(ScimError) as caught:
        IfMatch.parse(header)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidVers")


def test_without_a_condition_every_version_will_do() -> None:
    ANY_VERSION.require(1)


@pytest.mark.parametrize(
    ("header", "known"), [(None, False), ('W/"3"', True), ('"2", "3"', True), ('"2"', False), ("*", True)]
)
def test_a_reader_who_has_the_version_is_known(header: str | None, known: bool) -> None:
    assert is_known_version(header, 3) is known
