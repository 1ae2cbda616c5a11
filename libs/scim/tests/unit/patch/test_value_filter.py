"""Choosing values: the quick way of equalities says what the evaluator says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.filters import Path, parse
from quartet_scim.filters.evaluate import matches
from quartet_scim.filters.resolver import Resolver
from quartet_scim.patch.value_filter import COST_OF_A_TEST, COST_OF_AN_EQUALITY, Selection
from quartet_scim.schema import Attribute, Schema, Type, user_resource_type

RESOLVER = Resolver(user_resource_type())
WORDS = ["work", "WORK", "home", "Straße", "\u0130", "i", "\u03a3", "\u03c3", "\u03c2", ""]
ELEMENTS = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(WORDS), "value": st.sampled_from(WORDS), "primary": st.booleans()}
)
TERMS = st.tuples(
    st.sampled_from(["type", "value", "Type"]), st.sampled_from(["eq", "Eq"]), st.sampled_from(WORDS)
).map(lambda term: f'{term[0]} {term[1]} "{term[2]}"') | st.sampled_from(
    ["primary eq true", 'primary eq "False"', "primary eq false"]
)


def selection(attribute: str, text: str) -> Selection:
    return Selection(RESOLVER.resolve_inside(Path(attribute), parse(text)))


@given(st.sampled_from(["emails", "photos"]), st.lists(TERMS, min_size=1, max_size=3), ELEMENTS)
def test_equalities_choose_what_the_evaluator_finds(attribute: str, terms: list[str], element: dict[str, Any]) -> None:
    text = " and ".join(terms)
    assert selection(attribute, text).description() is not None
    assert selection(attribute, text).chooses(element) == matches(
        RESOLVER.resolve_inside(Path(attribute), parse(text)), element
    )


def test_case_counts_where_the_schema_says_so() -> None:
    assert selection("emails", 'value eq "A"').chooses({"value": "a"})
    assert not selection("photos", 'value eq "A"').chooses({"value": "a"})


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ('type eq "work"', {"type": "work"}),
        ('Type eq "work" and (PRIMARY eq "True" and value eq "x")', {"type": "work", "primary": True, "value": "x"}),
        ('type ne "work"', None),
        ('type eq "work" or type eq "home"', None),
        ('not (type eq "work")', None),
        ('type eq "work" and value pr', None),
        ("type eq null", None),
    ],
)
def test_a_description_is_what_eq_and_and_demand(text: str, described: dict[str, Any] | None) -> None:
    assert selection("emails", text).description() == described


def test_what_is_no_single_text_is_left_to_the_evaluator() -> None:
    subs = (Attribute("floors", multi_valued=True), Attribute("since", Type.DATE_TIME))
    keys = Schema(
        "urn:example:Keys", "Keys", "", (Attribute("keys", Type.COMPLEX, multi_valued=True, sub_attributes=subs),)
    )
    resolver = Resolver(user_resource_type(keys))

    def chooses(text: str) -> bool:
        chosen = Selection(resolver.resolve_inside(Path("keys", urn=keys.id), parse(text)))
        return chosen.chooses({"floors": ["1", "2"], "since": "2026-01-31T10:30:00+01:00"})

    assert chooses('floors eq "2"')
    assert chooses('since eq "2026-01-31T09:30:00Z"')
    assert not chooses('floors eq "3"')


def test_a_comparison_costs_more_than_an_equality() -> None:
    assert selection("emails", 'type eq "a" and value eq "b"').cost == 2 * COST_OF_AN_EQUALITY
    assert selection("emails", 'not (type eq "a" or value sw "b") and value pr').cost == 3 * COST_OF_A_TEST
