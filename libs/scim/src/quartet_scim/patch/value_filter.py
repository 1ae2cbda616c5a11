"""The selection of values by the filter of a path, and the values that a filter describes."""

from collections.abc import Iterator
from typing import Any

from quartet_scim.filters.conditions import AllOf, AnyOf, Condition, Negated, Test
from quartet_scim.filters.evaluate import fold, matches
from quartet_scim.filters.syntax import Operator
from quartet_scim.schema import Type

COST_OF_A_TEST = 20
COST_OF_AN_EQUALITY = 3


class Selection:
    """A condition on one value of a multi-valued attribute. cost: of one value, in visits (see `PatchBudget`)."""

    __slots__ = ("_condition", "_equal", "cost")

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self._equal = _equalities(condition)
        self.cost = COST_OF_A_TEST * _size(condition) if self._equal is None else COST_OF_AN_EQUALITY * len(self._equal)

    def chooses(self, element: Any) -> bool:
        """Whether the filter selects the value."""
        if self._equal is None:
            return matches(self._condition, element)
        return all(_is_equal(test, element.get(test.target.steps[0].key)) for test in self._equal)

    def description(self) -> dict[str, Any] | None:
        """The sub-attributes of a filter that has only `eq` and `and`; None for other filters."""
        if self._equal is None:
            return None
        return {test.target.steps[0].key: test.operand for test in self._equal}


def _equalities(condition: Condition) -> list[Test] | None:
    """The condition as equalities of single strings and booleans, which are fast and what most clients send."""
    found = []
    for term in _terms(condition):
        if not isinstance(term, Test) or term.operator is not Operator.EQ or not isinstance(term.operand, str | bool):
            return None
        steps = term.target.steps
        if len(steps) != 1 or steps[0].listed or term.target.type is Type.DATE_TIME:
            return None
        found.append(term)
    return found


def _is_equal(test: Test, value: Any) -> bool:
    operand = test.operand
    if not isinstance(operand, str) or not isinstance(value, str):
        return value is operand
    return value == operand or (not test.target.case_exact and fold(value) == fold(operand))


def _terms(condition: Condition) -> Iterator[Condition]:
    if not isinstance(condition, AllOf):
        yield condition
        return
    for one in condition.conditions:
        yield from _terms(one)


def _size(condition: Condition) -> int:
    match condition:
        case AllOf() | AnyOf():
            return sum(map(_size, condition.conditions))
        case Negated():
            return _size(condition.condition)
        case _:
            return 1
