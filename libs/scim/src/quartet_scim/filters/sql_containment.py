"""Equalities that are one test of jsonb containment (`@>`), which a GIN index supports."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quartet_scim.filters.conditions import AllOf, Condition, Some, Step, Test
from quartet_scim.filters.syntax import Operator
from quartet_scim.schema import Type


@dataclass(frozen=True, slots=True)
class Contained:
    """json: the document that must be contained. case_exact: in the resource; else both in lower case."""

    json: str
    case_exact: bool


def contained(condition: Test | Some) -> Contained | None:
    """The condition as a containment; None if it is not one."""
    if isinstance(condition, Test):
        if not _is_equality(condition):
            return None
        return Contained(_dumped(_wrapped(condition.operand, condition.target.steps)), _is_exact(condition))
    tests = _equalities(condition.condition)
    if tests is None:
        return None
    # A string whose case counts and one whose case does not cannot be asked for at once.
    texts = {test.target.case_exact for test in tests if isinstance(test.operand, str)}
    if len(texts) > 1:
        return None
    parts = [_wrapped(test.operand, test.target.steps) for test in tests]
    element = parts[0] if len(parts) == 1 else {key: value for part in parts for key, value in part.items()}
    return Contained(_dumped(_wrapped(element, condition.target.steps)), texts != {False})


def _equalities(condition: Condition) -> list[Test] | None:
    tests = condition.conditions if isinstance(condition, AllOf) else (condition,)
    found = [test for test in tests if isinstance(test, Test) and _is_equality(test)]
    names = {test.target.name for test in found}
    return found if len(found) == len(tests) == len(names) else None


def _is_equality(test: Test) -> bool:
    return test.operator is Operator.EQ and test.target.type is not Type.DATE_TIME


def _is_exact(test: Test) -> bool:
    return test.target.case_exact or not isinstance(test.operand, str)


def _wrapped(value: Any, steps: Iterable[Step]) -> Any:
    for step in reversed(tuple(steps)):
        value = {step.key: [value] if step.listed else value}
    return value


def _dumped(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)
