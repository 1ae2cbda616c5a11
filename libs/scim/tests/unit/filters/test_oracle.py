"""Filters beside scim2-models: the same trees, and the same documents found."""

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scim2_models import InvalidFilterException, ScimFilter
from scim2_models.path import expressions as theirs

from quartet_scim.errors import ScimError
from quartet_scim.filters import And, Compare, Filter, Not, Or, Present, ValuePath, parse
from quartet_scim.filters.parser import Parser
from quartet_testing.examples import examples

Tree = tuple[Any, ...]

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # the filters' strategy has many parts


def ours_as_tuple(tree: Filter) -> Tree:
    match tree:
        case Compare():
            return ("compare", str(tree.path), tree.op.value, type(tree.value), tree.value)
        case Present():
            return ("present", str(tree.path))
        case ValuePath():
            return ("values", str(tree.path), ours_as_tuple(tree.filter))
        case Not():
            return ("not", ours_as_tuple(tree.term))
        case And():
            return ("and", *map(ours_as_tuple, tree.terms))
        case Or():
            return ("or", *map(ours_as_tuple, tree.terms))


def theirs_as_tuple(tree: theirs.FilterNode) -> Tree:
    match tree:
        case theirs.Comparison():
            return ("compare", str(tree.attr_path), tree.op.value, type(tree.value), tree.value)
        case theirs.Present():
            return ("present", str(tree.attr_path))
        case theirs.ValuePath():
            return ("values", str(tree.attr_path), theirs_as_tuple(tree.val_filter))
        case theirs.Not():
            return ("not", theirs_as_tuple(tree.expr))
        case theirs.LogicalExpr():
            return (tree.op.value, *map(theirs_as_tuple, tree.terms))
    raise AssertionError(f"unknown node {tree!r}")


def assert_same_tree(text: str) -> None:
    assert ours_as_tuple(parse(text)) == theirs_as_tuple(ScimFilter[Any](text).ast)


def test_any_filter_is_read_as_scim2_models_reads_it(filters: st.SearchStrategy[str]) -> None:
    @settings(max_examples=examples(300), deadline=None)
    @given(filters)
    def compare(text: str) -> None:
        assert_same_tree(text)

    compare()


def test_a_broken_precedence_is_caught_by_the_comparison(
    filters: st.SearchStrategy[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Parser, "binding", {"or": 2, "and": 1})

    @settings(max_examples=examples(300), deadline=None, database=None, phases=[Phase.generate])
    @given(filters)
    def compare(text: str) -> None:
        assert_same_tree(text)

    with pytest.raises(AssertionError):
        compare()


@pytest.mark.parametrize(
    "text",
    [
        'a eq "x" or b eq "y" and c eq "z"',
        'a eq "x" and b eq "y" or c eq "z" and d pr or e pr',
        '(a eq "x" or b eq "y") and c eq "z"',
        "not (a pr) and b pr or not(c pr)",
        "not (not (a pr))",
        'userName EQ "bjensen" AND NOT (active eq TRUE)',
        r'a eq "\"\\\/\b\f\n\r\té😀é"',
        "a eq -1.5e3 or b gt 0 or c le 10E2 or d eq -0",
        "a eq null or b ne false",
        'emails[type eq "work" and value co "@example.com"]',
        'emails[type eq "work"].value eq "x"',
        'emails[type eq "work" or primary eq true].value pr',
        'urn:ietf:params:scim:schemas:core:2.0:User:name.familyName co "O\'Malley"',
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value pr",
        'members.$ref eq "x" or $ref pr',
        "prefix pr and notes pr and android pr and order pr and never pr",
        "eq pr and and pr or or pr",
        '  a\teq\n"x"  ',
        "((((((((((((((((((((a pr))))))))))))))))))))",
    ],
)
def test_the_grammar_is_read_as_scim2_models_reads_it(text: str) -> None:
    assert_same_tree(text)


WORDS = ["a", "b.c", "urn:x:y:z", "eq", "pr", "and", "or", "not", "(", ")", "[", "]", ".", '"x"', "1", "true", "null"]


@given(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join))
@settings(max_examples=examples(1000), deadline=None)
def test_any_row_of_words_is_read_or_refused_as_scim2_models_does(text: str) -> None:
    try:
        expected = theirs_as_tuple(ScimFilter[Any](text).ast)
    except InvalidFilterException:
        with pytest.raises(ScimError) as refused:
            parse(text)
        assert refused.value.scim_type == "invalidFilter"
    else:
        assert ours_as_tuple(parse(text)) == expected
