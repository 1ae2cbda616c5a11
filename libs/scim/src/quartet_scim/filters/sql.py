"""Converts a condition to SQL: a boolean expression over a jsonb document and columns, with all values as parameters.

The text has names of the schemas only. The expression does not fail for any stored value. NULL means "does not match"
everywhere, and negation is `IS NOT TRUE`, so that the logic has two values.
"""

from dataclasses import dataclass
from typing import Any

from quartet_scim.errors import invalid_filter
from quartet_scim.filters import sql_comparisons
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
from quartet_scim.filters.evaluate import fold
from quartet_scim.filters.sql_columns import Column, Columns, Lookup, Rows
from quartet_scim.filters.sql_comparisons import Parameters
from quartet_scim.filters.sql_containment import contained
from quartet_scim.filters.syntax import Operator
from quartet_scim.schema import Type

_FILLED = ' ? (@.type() <> "null" && (@.type() <> "string" || @ <> ""))'
_ASSIGNED = ' ? (@.type() <> "null")'


@dataclass(frozen=True, slots=True)
class Sql:
    """text: a boolean expression for an operand of AND. parameters: for asyncpg, in the order of their numbers."""

    text: str
    parameters: tuple[Any, ...]


def to_sql(
    condition: Condition, columns: Columns, start: int = 1, *, resource: str = "resource", folded: str | None = None
) -> Sql:
    """The condition as SQL. NULL, like false, means that the row does not match.

    start: the number of the first parameter. resource: the jsonb column with the document as `Normaliser` made it.
    folded: `(lower(resource::text)::jsonb)`, if there is a GIN index on it: equality whatever the case then uses it.
    Raises ScimError 400 invalidFilter for an attribute that is neither in the document nor a column.
    """
    writer = _Writer(Parameters(start), folded)
    text = writer.write(condition, _Document(resource, columns))
    return Sql(text, tuple(writer.parameters.values))


@dataclass(frozen=True, slots=True)
class _Document:
    """Where targets begin: a jsonb value, or (base None) a row of another table, of which there are only columns."""

    base: str | None
    columns: Columns
    is_resource: bool = True


class _Writer:
    def __init__(self, parameters: Parameters, folded: str | None) -> None:
        self.parameters = parameters
        self._folded = folded
        self._elements = 0

    def write(self, condition: Condition, place: _Document) -> str:
        match condition:
            case AllOf():
                return f"({' AND '.join(self.write(one, place) for one in condition.conditions)})"
            case AnyOf():
                return f"({' OR '.join(self.write(one, place) for one in condition.conditions)})"
            case Negated():
                return f"({self.write(condition.condition, place)}) IS NOT TRUE"
            case Constant():
                return "TRUE" if condition.holds else "FALSE"
            case _:
                return self._of_attribute(condition, place)

    def _of_attribute(self, condition: Test | HasValue | IsAssigned | Some, place: _Document) -> str:
        match condition:
            case Test():
                return self._among_candidates(condition, place, self._test(condition, place))
            case HasValue():
                return self._is_there(condition.target, place, _FILLED)
            case IsAssigned():
                return self._is_there(condition.target, place, _ASSIGNED)
            case Some():
                return self._among_candidates(condition.condition, place, self._some(condition, place))

    def _among_candidates(self, condition: Condition, place: _Document, text: str) -> str:
        """The same, with the question put first that an index answers, where `condition` needs a value that it has."""
        for test in condition.conditions if isinstance(condition, AllOf) else (condition,):
            lookup = place.columns.get(test.target.name) if isinstance(test, Test) else None
            if isinstance(lookup, Lookup) and isinstance(test, Test) and test.operator is Operator.EQ:
                key = self.parameters.add(fold(str(test.operand))[: lookup.characters], "text")
                return f"(EXISTS (SELECT FROM {lookup.source} AND {lookup.column} = {key}) AND {text})"
        return text

    def _test(self, test: Test, place: _Document) -> str:
        rows, column = _column(test.target, place)
        if column is not None:
            return _in_rows(rows, sql_comparisons.of_column(test, column, self.parameters))
        base = _stored(test.target, place)
        found = contained(test)
        if found is not None and (found.case_exact or (self._folded and place.is_resource)):
            return self._contains(found.case_exact, base, found.json)
        if not any(step.listed for step in test.target.steps):
            return sql_comparisons.of_json(test, base, test.target.steps, self.parameters)
        element, source = self._element(base, test.target)
        return f"EXISTS (SELECT FROM {source} WHERE {sql_comparisons.of_json(test, element, (), self.parameters)})"

    def _some(self, condition: Some, place: _Document) -> str:
        rows = place.columns.get(condition.target.name)
        if isinstance(rows, Rows):
            inside = _Document(None, {f"{condition.target.name}.{name}": one for name, one in rows.columns.items()})
            return _in_rows(rows, self.write(condition.condition, inside))
        base = _stored(condition.target, place)
        found = contained(condition)
        if found is not None and (found.case_exact or self._folded):
            return self._contains(found.case_exact, base, found.json)
        element, source = self._element(base, condition.target)
        inside = _Document(element, {}, is_resource=False)
        return f"EXISTS (SELECT FROM {source} WHERE {self.write(condition.condition, inside)})"

    def _contains(self, case_exact: bool, base: str, json: str) -> str:
        if case_exact:
            return f"{base} @> {self.parameters.add(json, 'jsonb')}"
        return f"{self._folded} @> lower({self.parameters.add(json, 'text')})::jsonb"

    def _element(self, base: str, target: Target) -> tuple[str, str]:
        self._elements += 1
        name = f"element_{self._elements}"
        return f"{name}.value", f"jsonb_path_query({base}, {_json_path(target.steps)}) AS {name}(value)"

    def _is_there(self, target: Target, place: _Document, kept: str) -> str:
        whole = place.columns.get(target.name)
        if isinstance(whole, Rows):
            return _in_rows(whole, "TRUE")
        rows, column = _column(target, place)
        test = "::text <> ''" if kept is _FILLED else " IS NOT NULL"
        if column is not None:
            return _in_rows(rows, column.expression + test)
        parts = _parts(target, place)
        if parts and not target.stored:
            return f"({' OR '.join(part.expression + test for part in parts)})"
        base = _stored(target, place)
        is_object = target.type is Type.COMPLEX and kept is _FILLED
        if is_object or any(step.listed for step in target.steps):
            return f"jsonb_path_exists({base}, {_json_path(target.steps, ('.*' if is_object else '') + kept)})"
        return sql_comparisons.text_at(base, target.steps) + (" <> ''" if kept is _FILLED else test)


def _column(target: Target, place: _Document) -> tuple[Rows | None, Column | None]:
    found = place.columns.get(target.name)
    if isinstance(found, Column):
        return None, found
    attribute, _, sub = target.name.rpartition(".")
    rows = place.columns.get(attribute)
    if isinstance(rows, Rows) and sub in rows.columns:
        return rows, rows.columns[sub]
    return None, None


def _parts(target: Target, place: _Document) -> list[Column]:
    start = f"{target.name}."
    return [one for name, one in place.columns.items() if name.startswith(start) and isinstance(one, Column)]


def _in_rows(rows: Rows | None, text: str) -> str:
    return text if rows is None else f"EXISTS (SELECT FROM {rows.source} AND {text})"


def _stored(target: Target, place: _Document) -> str:
    if place.base is None or not target.stored or isinstance(place.columns.get(target.name.rpartition(".")[0]), Rows):
        raise invalid_filter(f"{target.name} cannot be used in a filter here.")
    return place.base


def _json_path(steps: tuple[Step, ...], ending: str = "") -> str:
    way = "".join(f'."{step.key}"{"[*]" if step.listed else ""}' for step in steps)
    return f"'${way}{ending}'"
