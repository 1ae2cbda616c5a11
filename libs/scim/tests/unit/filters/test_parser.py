"""The parser: limits, and where a text goes wrong. That it reads what is right is test_oracle's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.errors import ScimError
from quartet_scim.filters import Compare, Operator, Path, Present, TargetPath, parse, parse_path
from quartet_scim.filters.parser import MAX_CHARACTERS, MAX_COMPARISONS, MAX_DEPTH

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def refusal(text: str) -> ScimError:
    with pytest.raises(ScimError) as caught:
        parse(text)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("", 1, "an attribute, `not` or `(` is expected"),
        ("userName", 9, "an operator is expected"),
        ("userName is 1", 10, "an operator is expected"),
        ("userName eq", 12, "a value is expected"),
        ("userName eq bjensen", 13, "a value is expected"),
        ("userName eq 'bjensen'", 13, "a value is expected"),
        ('userName eq "bjensen', 13, "a value is expected"),
        (r'userName eq "\x"', 13, "not a valid JSON string"),
        ('userName eq "a\nb"', 13, "not a valid JSON string"),
        (r'userName eq "\ud800"', 13, "not a valid JSON string"),
        ('userName eq "\ud800"', 13, "not a valid JSON string"),
        (r'userName eq "\u0000"', 13, "NUL"),
        ("level eq 1e999", 10, "too large"),
        ("level eq 01", 11, "`and`, `or` or the end is expected"),
        ("a pr b pr", 6, "`and`, `or` or the end is expected"),
        ("a pr and", 9, "an attribute, `not` or `(` is expected"),
        ("(a pr", 6, "`)` is expected"),
        ("a pr)", 5, "the end is expected"),
        ("emails[type pr", 15, "`]` is expected"),
        ("emails[a[b pr]]", 9, "brackets cannot be nested"),
        ("emails.type[a pr]", 12, "brackets can follow an attribute only"),
        ("emails[type pr].a.b pr", 17, "the name of a sub-attribute is expected"),
        ("not active eq true", 5, "`(` is expected after `not`"),
        ("naïve pr", 3, "an operator is expected"),
        ("; pr", 1, "an attribute, `not` or `(` is expected"),
    ],
)
def test_the_answer_says_where_a_filter_goes_wrong_and_how(text: str, at: int, problem: str) -> None:
    error = refusal(text)
    assert error.scim_type == "invalidFilter"
    assert error.detail.startswith(f"The filter, character {at}: ")
    assert problem in error.detail


def test_a_value_is_never_repeated() -> None:
    assert "t1meMa$heen" not in refusal(r'password eq "t1meMa$heen\x"').detail
    assert "t1meMa" not in refusal("password eq t1meMa").detail


def test_a_filter_may_be_as_long_as_the_limit_but_not_longer() -> None:
    longest = f'a eq "{"x" * (MAX_CHARACTERS - 7)}"'
    assert parse(longest) == Compare(Path("a"), Operator.EQ, "x" * (MAX_CHARACTERS - 7))
    error = refusal(f"{longest} ")
    assert error.scim_type == "invalidFilter"
    assert "longer than 4096 characters" in error.detail


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("not (", ")")])
def test_a_filter_may_be_as_deep_as_the_limit_but_not_deeper(opening: str, closing: str) -> None:
    parse(opening * MAX_DEPTH + "a pr" + closing * MAX_DEPTH)
    error = refusal(opening * (MAX_DEPTH + 1) + "a pr" + closing * (MAX_DEPTH + 1))
    assert error.scim_type == "invalidFilter"
    assert "nested deeper than 20" in error.detail


def test_brackets_count_as_depth() -> None:
    parse("(" * (MAX_DEPTH - 1) + "a[b pr]" + ")" * (MAX_DEPTH - 1))
    assert "nested deeper" in refusal("(" * MAX_DEPTH + "a[b pr]" + ")" * MAX_DEPTH).detail


@pytest.mark.parametrize("word", [" or ", " and "])
def test_more_than_a_hundred_comparisons_are_too_many(word: str) -> None:
    parse(word.join(["a pr"] * MAX_COMPARISONS))
    error = refusal(word.join(["a pr"] * (MAX_COMPARISONS + 1)))
    assert (error.scim_type, error.detail) == ("tooMany", "The filter has more than 100 comparisons.")


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ScimError as error:
        kind = error.scim_type
    else:
        kind = "invalidFilter" if parse(f"({text})") == found else None
    assert kind == "invalidFilter"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=300), st.booleans())
def test_any_string_is_found_as_it_was_written(value: str, ascii_only: bool) -> None:
    assert parse(f"a eq {json.dumps(value, ensure_ascii=ascii_only)}") == Compare(Path("a"), Operator.EQ, value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("members", TargetPath(Path("members"))),
        ("name.familyName", TargetPath(Path("name", "familyName"))),
        (f"{ENTERPRISE}:manager.value", TargetPath(Path("manager", "value", ENTERPRISE))),
        ("emails[type pr]", TargetPath(Path("emails"), Present(Path("type")))),
        ("emails[type pr].value", TargetPath(Path("emails"), Present(Path("type")), "value")),
        (f"{ENTERPRISE}:a[b pr].$ref", TargetPath(Path("a", None, ENTERPRISE), Present(Path("b")), "$ref")),
    ],
)
def test_the_path_of_a_patch_operation_is_read(text: str, found: TargetPath) -> None:
    assert parse_path(text) == found


@pytest.mark.parametrize(
    "text", ["", "a b", "a pr", "a[", "a[b]", "a[b pr] c", "a[b pr].c.d", "a.b[c pr]", "a.", "1", "/a"]
)
def test_a_path_that_is_none_is_refused_as_a_path(text: str) -> None:
    with pytest.raises(ScimError, match=r"^The path, character \d+: ") as caught:
        parse_path(text)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidPath")
