"""Evaluates a condition on one document: the reference for the SQL, and the selection of values in a PATCH."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quartet_scim.filters.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    HasValue,
    IsAssigned,
    Negated,
    Some,
    Step,
    Target,
    Test,
)
from quartet_scim.filters.syntax import Operator
from quartet_scim.filters.timestamps import microseconds
from quartet_scim.schema import Type
from quartet_scim.usernames import prepare


def matches(condition: Condition, document: Any) -> bool:
    """Whether the document meets the condition; raises nothing for any document.

    document: a whole resource in canonical form (`Normaliser`, with id and meta if the filter asks for them), or one
    element of a multi-valued attribute for a condition of `Resolver.resolve_inside`.
    """
    match condition:
        case AllOf():
            return all(matches(one, document) for one in condition.conditions)
        case AnyOf():
            return any(matches(one, document) for one in condition.conditions)
        case Negated():
            return not matches(condition.condition, document)
        case Constant():
            return condition.holds
        case _:
            return _some_value_fits(condition, _values(document, condition.target.steps))


def fold(text: str) -> str:
    """The text in lower case, character by character as PostgreSQL's lower() does it.

    str.lower differs for a final Greek sigma and for a dotted capital I, which it makes two characters.
    """
    if text.isascii():
        return text.lower()
    return "".join("i" if character == "\u0130" else character.lower() for character in text)


def old_key(name: str, key: str) -> str:
    """The key by which the same name may be stored since before names were prepared; `key`, its present one, if none.

    A folded dotted capital I is the key of another name, which starts with a plain i.
    """
    folded = fold(name)
    return folded if prepare(folded) == key else key


def comparable(target: Target, text: str) -> str:
    """The form in which texts of the attribute are compared: unchanged if caseExact, else folded."""
    if target.case_exact:
        return text
    return prepare(text) if target.name == "userName" else fold(text)


def decimal(number: int | float) -> Decimal:
    """The exact number of the JSON text, as PostgreSQL stores it."""
    return Decimal(number) if isinstance(number, int) else Decimal(repr(number))


def _values(document: Any, steps: tuple[Step, ...]) -> list[Any]:
    found = [document]
    for step in steps:
        under = [item.get(step.key) for item in found if isinstance(item, Mapping)]
        found = [one for value in under for one in (value if isinstance(value, list) else (value,)) if one is not None]
    return found


def _some_value_fits(condition: Test | HasValue | IsAssigned | Some, values: list[Any]) -> bool:
    match condition:
        case Test():
            return any(_holds(condition, value) for value in values)
        case HasValue():
            return any(map(_is_filled, values))
        case IsAssigned():
            return bool(values)
        case Some():
            return any(matches(condition.condition, element) for element in values)


def _is_filled(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_filled, value.values()))
    if isinstance(value, list):
        return any(map(_is_filled, value))
    return value is not None and value != ""


def _holds(test: Test, value: Any) -> bool:
    target, operand = test.target, test.operand
    if isinstance(operand, bool):
        return value is operand
    if isinstance(operand, int | float):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and _in_order(test.operator, decimal(value), decimal(operand))
    if not isinstance(value, str):
        return False
    if target.type is Type.DATE_TIME and test.operator not in (Operator.CO, Operator.SW, Operator.EW):
        return _in_order(test.operator, microseconds(value), microseconds(operand))
    return _text_holds(test.operator, comparable(target, value), comparable(target, operand))


def _text_holds(operator: Operator, value: str, operand: str) -> bool:
    if operator is Operator.CO:
        return operand in value
    if operator is Operator.SW:
        return value.startswith(operand)
    if operator is Operator.EW:
        return value.endswith(operand)
    return _in_order(operator, value, operand)


def _in_order(operator: Operator, value: Any, operand: Any) -> bool:
    if value is None:
        return False
    match operator:
        case Operator.GT:
            return bool(value > operand)
        case Operator.GE:
            return bool(value >= operand)
        case Operator.LT:
            return bool(value < operand)
        case Operator.LE:
            return bool(value <= operand)
        case _:
            return bool(value == operand)
