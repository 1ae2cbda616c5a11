"""Filters: one attribute equals one string, and nothing else."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.errors import ScimError
from quartet_scim.filters.equality import MAX_FILTER_CHARACTERS, Eq, parse_eq

ALLOWED = ("userName", "externalId", "id")
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('userName eq "bjensen"', Eq("userName", "bjensen")),
        ('  USERNAME  EQ  "bjensen"  ', Eq("userName", "bjensen")),
        ('externalid Eq "00u1"', Eq("externalId", "00u1")),
        (f'{CORE}:userName eq "b"', Eq("userName", "b")),
        (f'{CORE.upper()}:USERNAME eq "b"', Eq("userName", "b")),
        ('userName eq ""', Eq("userName", "")),
        (r'userName eq "a\"b\\"', Eq("userName", 'a"b\\')),
        (r'userName eq "\u00e9\ud83d\ude00 é"', Eq("userName", "é😀 é")),
        ('userName eq "x and y eq z"', Eq("userName", "x and y eq z")),
    ],
)
def test_equality_is_read(text: str, found: Eq) -> None:
    assert parse_eq(text, ALLOWED) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "userName",
        "userName eq",
        "userName eq bjensen",
        "userName eq 'bjensen'",
        "userName eq 1",
        "userName eq null",
        'userName eq "a',
        'userName eq "a\\"',
        'userName ne "a"',
        'userName co "a"',
        "userName pr",
        'userName eq "a" and id eq "b"',
        '(userName eq "a")',
        'not (userName eq "a")',
        'userName.x eq "a"',
        'password eq "a"',
        'title eq "a"',
        'emails[type eq "work"]',
        'urn:example:other:userName eq "a"',
        f'userName eq "{"x" * MAX_FILTER_CHARACTERS}"',
        "(" * 4_000,
    ],
)
def test_anything_else_is_refused_and_the_answer_says_what_is_supported(text: str) -> None:
    with pytest.raises(ScimError, match=r'attribute eq "value".*: externalId, id, userName') as caught:
        parse_eq(text, ALLOWED)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidFilter")


@pytest.mark.parametrize("value", [r'"\x"', r'"\ud800"', '"\ud800"', '"a\nb"', r'"\u0000"', '"a\x00"'])
def test_a_value_that_is_no_json_string_or_cannot_be_stored_is_refused(value: str) -> None:
    with pytest.raises(ScimError) as caught:
        parse_eq(f"userName eq {value}", ALLOWED)
    assert caught.value.scim_type == "invalidFilter"


def test_only_the_schemas_that_are_asked_for_may_qualify_a_name() -> None:
    text = f'{CORE}:displayName eq "Tour Guides"'
    assert parse_eq(text, {"displayName"}, schemas=[CORE]) == Eq("displayName", "Tour Guides")
    with pytest.raises(ScimError):
        parse_eq(text, {"displayName"}, schemas=["urn:ietf:params:scim:schemas:core:2.0:Group"])


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=600), st.booleans())
def test_any_string_is_found_as_it_was_written(value: str, ascii_only: bool) -> None:
    text = f"userName eq {json.dumps(value, ensure_ascii=ascii_only)}"
    assert parse_eq(text, ALLOWED) == Eq("userName", value)


@given(st.text(), st.randoms(use_true_random=False))
def test_any_text_is_read_or_refused_with_a_scim_error(noise: str, chance: random.Random) -> None:
    parts = ["userName", "eq", '"a"', " ", "\\", '"', noise]
    text = "".join(chance.choices(parts, k=6))
    try:
        found = parse_eq(text, ALLOWED)
    except ScimError as error:
        found = None
        answer = error.document()
    assert found.attribute == "userName" if found else answer["scimType"] == "invalidFilter"
