"""Converts one test to SQL, by the type of the attribute, for a jsonb value or a column."""

from typing import Any
from uuid import UUID

from quartet_scim.filters.conditions import Step, Test
from quartet_scim.filters.evaluate import comparable, decimal, old_key
from quartet_scim.filters.sql_columns import Column, Kind
from quartet_scim.filters.syntax import Operator
from quartet_scim.filters.timestamps import INSTANT, microseconds, timestamptz
from quartet_scim.schema import Type

_SIGNS = {Operator.EQ: "=", Operator.GT: ">", Operator.GE: ">=", Operator.LT: "<", Operator.LE: "<="}
_WILDCARDS = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})
_MILLISECOND = "interval '1 millisecond'"


class Parameters:
    """The parameters of one expression, numbered from `start` in the order of its text."""

    __slots__ = ("_start", "values")

    def __init__(self, start: int) -> None:
        self._start = start
        self.values: list[Any] = []

    def add(self, value: Any, cast: str) -> str:
        """The placeholder of a new parameter, with its type."""
        self.values.append(value)
        return f"${self._start + len(self.values) - 1}::{cast}"


def of_json(test: Test, base: str, steps: tuple[Step, ...], parameters: Parameters) -> str:
    """The test of the single value at `steps` in the jsonb value `base`."""
    operand = test.operand
    if isinstance(operand, bool):
        return f"{_json_at(base, steps)} = {parameters.add('true' if operand else 'false', 'jsonb')}"
    if isinstance(operand, int | float):
        json = _json_at(base, steps)
        number = f"CASE WHEN jsonb_typeof({json}) = 'number' THEN ({json})::numeric END"
        return f"{number} {_SIGNS[test.operator]} {parameters.add(decimal(operand), 'numeric')}"
    text = text_at(base, steps)
    if test.target.type is Type.DATE_TIME and test.operator in _SIGNS:
        instant = f"CASE WHEN {text} ~ '{INSTANT}' THEN {timestamptz(text)} END"
        return f"{instant} {_SIGNS[test.operator]} {parameters.add(operand, 'text')}::timestamptz"
    return _of_text(test.operator, text, operand, parameters, lower=not test.target.case_exact)


def of_column(test: Test, column: Column, parameters: Parameters) -> str:
    """The test of the value of a column."""
    operand, expression = test.operand, column.expression
    if isinstance(operand, bool):
        return f"{expression} = {parameters.add(operand, 'boolean')}"
    if isinstance(operand, int | float):
        return f"{expression} {_SIGNS[test.operator]} {parameters.add(decimal(operand), 'numeric')}"
    if column.kind is Kind.UUID:
        return _of_uuid(test.operator, expression, operand, parameters)
    if column.kind is Kind.INSTANT:
        return _of_instant(test.operator, expression, operand, parameters)
    if column.kind is Kind.FOLDED:
        return _of_folded(test, expression, operand, parameters)
    return _of_text(test.operator, expression, operand, parameters, lower=not test.target.case_exact)


def text_at(base: str, steps: tuple[Step, ...]) -> str:
    """The value at `steps` as text, NULL for none."""
    if not steps:
        return f"({base} #>> '{{}}')"
    return f"({_json_at(base, steps[:-1])} ->> '{steps[-1].key}')"


def _json_at(base: str, steps: tuple[Step, ...]) -> str:
    return base if not steps else f"({base}{''.join(f' -> {chr(39)}{step.key}{chr(39)}' for step in steps)})"


def _of_text(operator: Operator, text: str, operand: str, parameters: Parameters, *, lower: bool) -> str:
    left = f"lower({text})" if lower else text
    if operator in _SIGNS:
        right = parameters.add(operand, "text")
    else:
        before = "" if operator is Operator.SW else "%"
        after = "" if operator is Operator.EW else "%"
        right = parameters.add(f"{before}{operand.translate(_WILDCARDS)}{after}", "text")
    right = f"lower({right})" if lower else right
    if operator not in _SIGNS:
        return f"{left} LIKE {right}"
    # The order is that of code points (RFC 7644 3.4.2.2: lexicographical), whatever the database's own collation.
    collation = "" if operator is Operator.EQ else ' COLLATE "C"'
    return f"{left}{collation} {_SIGNS[operator]} {right}"


def _of_folded(test: Test, expression: str, operand: str, parameters: Parameters) -> str:
    wanted = comparable(test.target, operand)
    old = old_key(operand, wanted)
    if test.operator is Operator.EQ and old != wanted:
        # A row that an upgrade could not give the prepared form, since another has it, is found by its own spelling.
        return f"{expression} = ANY ({parameters.add([wanted, old], 'text[]')})"
    return _of_text(test.operator, expression, wanted, parameters, lower=False)


def _of_uuid(operator: Operator, expression: str, operand: str, parameters: Parameters) -> str:
    if operator is not Operator.EQ:
        return _of_text(operator, f"{expression}::text", operand, parameters, lower=False)
    try:
        wanted = UUID(operand)
    except ValueError:
        return "FALSE"
    # The attribute's value is the canonical text; other texts of the same UUID are not equal to it.
    return f"{expression} = {parameters.add(wanted, 'uuid')}" if str(wanted) == operand else "FALSE"


def _of_instant(operator: Operator, expression: str, operand: str, parameters: Parameters) -> str:
    # Clients see the column cut to milliseconds, and compare with what they saw: a whole millisecond is one value.
    if operator not in _SIGNS:
        shown = f"to_char({expression} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        return _of_text(operator, shown, operand, parameters, lower=True)
    is_whole = (microseconds(operand) or 0) % 1000 == 0
    if operator is Operator.EQ and not is_whole:
        return "FALSE"
    wanted = parameters.add(operand, "text") + "::timestamptz"
    after = f"date_trunc('milliseconds', {wanted}) + {_MILLISECOND}"
    if operator is Operator.EQ:
        return f"({expression} >= {wanted} AND {expression} < {after})"
    if operator in (Operator.GT, Operator.LE):
        return f"{expression} {'>=' if operator is Operator.GT else '<'} {after}"
    return f"{expression} {_SIGNS[operator]} {wanted if is_whole else after}"
