"""Converts an order to SQL: the sort expression over a column or the jsonb document."""

from dataclasses import dataclass

from quartet_scim.errors import invalid_value
from quartet_scim.filters.conditions import Step, Target
from quartet_scim.filters.sql_columns import Column, Columns, Kind, Rows
from quartet_scim.filters.timestamps import INSTANT, timestamptz
from quartet_scim.schema import Type

MAX_CHARACTERS = 256
"""Maximum characters of a sort value in the document, since a cursor has it."""


@dataclass(frozen=True, slots=True)
class Key:
    """expression: SQL that never fails, NULL for no value. type: PostgreSQL's name of it. required: never NULL."""

    expression: str
    type: str
    required: bool = False


def key_of(target: Target, columns: Columns, resource: str = "resource") -> Key:
    """The sort key of `target`; `columns` and `resource` as in `to_sql`.

    Texts are in the order of code points, without regard to case where it does not count, whatever the database's own
    collation. Raises ScimError 400 invalidValue for an attribute that is neither in the document nor a column.
    """
    column = columns.get(target.name)
    if isinstance(column, Column):
        return _of_column(target, column)
    if not target.stored or isinstance(columns.get(target.name.rpartition(".")[0] or target.name), Rows):
        raise invalid_value(f"sortBy: {target.name} cannot be sorted by here.")
    return _of_json(target, _leading(resource, target.steps))


def _of_column(target: Target, column: Column) -> Key:
    kinds = {Kind.UUID: "uuid", Kind.INSTANT: "timestamptz"}
    kind = kinds.get(column.kind) or _TYPES.get(target.type, "text")
    if kind != "text":
        return Key(f"({column.expression})", kind, column.required)
    is_folded = column.kind is Kind.TEXT and not target.case_exact
    text = f"lower({column.expression})" if is_folded else column.expression
    return Key(f'({text}::text COLLATE "C")', "text", column.required)


def _of_json(target: Target, json: str) -> Key:
    kind = _TYPES.get(target.type, "text")
    if kind in ("boolean", "numeric"):
        name = "boolean" if kind == "boolean" else "number"
        return Key(f"(CASE WHEN jsonb_typeof({json}) = '{name}' THEN ({json})::{kind} END)", kind)
    text = f"({json} #>> '{{}}')"
    if kind == "timestamptz":
        return Key(f"(CASE WHEN {text} ~ '{INSTANT}' THEN {timestamptz(text)} END)", kind)
    folded = text if target.case_exact else f"lower({text})"
    cut = f"left({folded}, {MAX_CHARACTERS})"
    return Key(f"(CASE WHEN jsonb_typeof({json}) = 'string' THEN {cut} END COLLATE \"C\")", kind)


_TYPES = {
    Type.BOOLEAN: "boolean",
    Type.INTEGER: "numeric",
    Type.DECIMAL: "numeric",
    Type.DATE_TIME: "timestamptz",
}


def _leading(json: str, steps: tuple[Step, ...]) -> str:
    for step in steps:
        json = f"({json} -> '{step.key}')"
        if step.listed:
            json = f"COALESCE(jsonb_path_query_first({json}, '$[*] ? (@.primary == true)'), {json} -> 0)"
    return json
