"""The form in which userNames are compared."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.errors import ScimError
from quartet_scim.filters import Resolver, matches, parse
from quartet_scim.normalise import Normaliser
from quartet_scim.patch import PatchEngine, parse_patch
from quartet_scim.schema import user_resource_type
from quartet_scim.usernames import prepare

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
LONG = "\U0001d160" * 256
"""1,024 bytes, three times as many in NFC."""

EQUAL = [
    ("BJensen", "bjensen"),
    ("rene\u0301", "ren\u00e9"),
    ("RENE\u0301", "ren\u00e9"),
    ("\uff41\uff42\uff43", "abc"),
    ("\uff21\uff22\uff23\uff20\uff58", "abc@x"),
    ("\uff76\uff9e", "\u30ac"),  # half-width ka and its voice mark; ga
    ("\u03bf\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3"),  # a final sigma, and the same in capitals
    ("\u03bf\u03b4\u03cc\u03c2", "\u03bf\u03b4\u03cc\u03c3"),
    ("Stra\u00dfe", "STRASSE"),
    ("\u212b", "a\u030a"),  # angstrom sign
    ("\u03b1\u0345\u0301", "\u1fb4"),  # marks in another order
    ("\u0130", "i\u0307"),
]
DIFFERENT = [("ren\u00e9", "rene"), ("\u03b1", "a"), ("\u0131", "i"), ("a b", "ab"), ("\u2460", "1"), ("abc ", "abc")]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_names_that_a_person_takes_for_the_same_are_equal(one: str, other: str) -> None:
    assert prepare(one) == prepare(other)
    resolver = Resolver(user_resource_type())
    for text in (
        f'userName eq "{other}"',
        f'userName sw "{other}" and userName ew "{other}" and userName co "{other}"',
    ):
        assert matches(resolver.resolve(parse(text)), {"userName": one})
        assert matches(
            resolver.resolve(parse(f"{CORE}:{text.replace(' userName', f' {CORE}:userName')}")), {"userName": one}
        )
    assert not matches(resolver.resolve(parse(f'userName ne "{other}" or userName gt "{other}"')), {"userName": one})


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_names_stay_different(one: str, other: str) -> None:
    assert prepare(one) != prepare(other)


@given(st.text())
def test_the_form_is_its_own_form_and_the_same_for_canonically_equal_names(name: str) -> None:
    form = prepare(name)
    assert prepare(form) == form
    assert {prepare(unicodedata.normalize(kind, name)) for kind in ("NFC", "NFD")} == {form}


def test_a_name_whose_form_would_not_fit_into_an_index_is_refused() -> None:
    user_type = user_resource_type()
    with pytest.raises(ScimError, match="userName must not be longer than 2048 bytes"):
        Normaliser(user_type).normalise({"schemas": [CORE], "userName": LONG})
    operation = {"op": "replace", "path": "userName", "value": LONG}
    with pytest.raises(ScimError, match="userName must not be longer than 2048 bytes"):
        PatchEngine(user_type).apply(
            {"schemas": [CORE], "userName": "a"}, parse_patch({"schemas": [PATCH], "Operations": [operation]})
        )
    assert Normaliser(user_type).normalise({"schemas": [CORE], "userName": "\u00e9" * 512}).attributes["userName"]
