"""The SQL of a page: its condition, order and limits; by index or by cursor (RFC 7644 3.4.2, RFC 9865).

A page by cursor is the range after a position: its cost does not depend on the position, and unchanged resources are
neither repeated nor missed if the list changes between pages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import ScimError, invalid_cursor, invalid_filter
from quartet_scim.filters import Column, Columns, Condition, Lookup, Rows, Sql, mentions, parse, to_sql
from quartet_scim.filters.conditions import AllOf, AnyOf, Some, Test
from quartet_scim.filters.syntax import Operator
from quartet_scim.query import Query
from quartet_scim.sorting import Key, Order, key_of

NOTHING = Sql("TRUE", ())
LAST_MODIFIED = "meta.lastModified"
FEW_TESTS = 3
"""Maximum further tests of an element found by an index for which a search is cheap."""
PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of resources after which a page ends (RFC 7644 3.4.2.4 allows to return fewer than `count`)."""


@dataclass(frozen=True, slots=True)
class Position:
    """The resource after which a page begins: its sort value as PostgreSQL text (None: no value) and its id."""

    key: str | None
    id: UUID


@dataclass(frozen=True, slots=True)
class Place:
    """The tables and columns of a resource type, as SQL that is never made from input.

    table: the text after FROM. tenant, id: its columns. first: the number of the first free parameter; $1 is the
    tenant. searched: the SQL of attributes that are not in the jsonb column `resource`. totals: the table with the
    number of resources of each tenant. text: the column that is read as text in addition to `resource`.
    """

    table: str
    searched: Columns
    totals: str
    text: str
    tenant: str = "tenant_id"
    id: str = "id"
    resource: str = "resource"
    first: int = 2


@dataclass(frozen=True, slots=True)
class Selection:
    """The condition (None: all resources) and the order (None: by id) of a query for one type."""

    condition: Condition | None
    order: Order | None

    @property
    def is_plain(self) -> bool:
        """Whether the primary key alone serves it, so that its cost does not grow with the number of resources."""
        return self.condition is None and self.order is None

    def is_indexed(self, searched: Columns) -> bool:
        """Whether an index serves it, so that its cost does not grow with the number of resources."""
        if self.condition is not None:
            return _is_indexed(self.condition, searched)
        column = None if self.order is None else searched.get(self.order.target.name)
        return self.order is None or (isinstance(column, Column) and column.indexed and column.required)

    @property
    def is_by_time(self) -> bool:
        """Whether it uses meta.lastModified: clients poll by such queries."""
        by_order = self.order is not None and self.order.target.name == LAST_MODIFIED
        return by_order or (self.condition is not None and mentions(self.condition, LAST_MODIFIED))


@dataclass(frozen=True, slots=True)
class PageSql:
    """The parts of one query: `SELECT ..., {key} AS sort_key FROM {table} WHERE {tenant} = $1 AND {rows}`.

    rows: the condition, the order and the limits of the page. where: the condition alone, for counting. by_cursor:
    whether the page begins behind a position that the client has sent.
    """

    key: str
    rows: str
    parameters: tuple[Any, ...]
    where: Sql
    by_cursor: bool = False

    def refusal(self) -> ScimError:
        """The 400 for a value that PostgreSQL cannot convert, as in a forged cursor."""
        return invalid_cursor() if self.by_cursor else unreadable_value()


def cut_query(selected: str, kept: str, texts: Sequence[str], number: int) -> str:
    """The query `selected` with NULL instead of `texts` in every row after the first ${number} bytes of them.

    kept: the other columns, as SQL. texts: the columns that are measured, of type text. The first row is always whole.
    The rows that are cut still tell where they stand, that there are more, and how many bytes the rows up to them have
    (`bytes_so_far`). The order is that of `selected`: the
    window has none of its own, and PostgreSQL takes the rows as they come.
    """
    size = " + ".join(f"coalesce(octet_length({text}), 0)" for text in texts)
    before = f"bytes_so_far - ({size})"
    shown = ", ".join(f"CASE WHEN {before} < ${number}::bigint THEN {text} END AS {text}" for text in texts)
    so_far = f"sum({size}) OVER (ROWS UNBOUNDED PRECEDING)::bigint AS bytes_so_far"
    return f"SELECT {kept}, bytes_so_far, {shown} FROM (SELECT *, {so_far} FROM ({selected}) AS page) AS measured"


def unreadable_value() -> ScimError:
    """400: a value of the filter, or a stored one, is out of PostgreSQL's range."""
    return invalid_filter("The filter compares with a value that is out of range.")


def select(query: Query, compiled: CompiledType, *, unknown_is_absent: bool = False) -> Selection:
    """The selection of `query`; without sortBy, a filter on meta.lastModified is sorted by it.

    Raises ScimError 400 as filters and `Sorter` do; see them for `unknown_is_absent`.
    """
    condition = order = None
    if query.filter is not None:
        condition = compiled.resolver.resolve(parse(query.filter), unknown_is_absent=unknown_is_absent)
    if query.sort_by is not None:
        order = compiled.sorter.order(query.sort_by, descending=query.descending, unknown_is_absent=unknown_is_absent)
    elif condition is not None and mentions(condition, LAST_MODIFIED):
        order = compiled.sorter.order(LAST_MODIFIED)
    return Selection(condition, order)


def page_sql(
    selection: Selection,
    place: Place,
    *,
    limit: int,
    offset: int = 0,
    after: Position | None = None,
    before: datetime | None = None,
) -> PageSql:
    """The SQL of at most `limit` resources after the position `after`, without the first `offset`.

    before: only resources that were last modified before that time.
    Raises ScimError 400 for attributes that can be neither filtered nor sorted by here.
    """
    where = NOTHING
    if selection.condition is not None:
        where = to_sql(selection.condition, place.searched, place.first, resource=place.resource)
    modified = place.searched.get(LAST_MODIFIED)
    if before is not None and isinstance(modified, Column):
        number = place.first + len(where.parameters)
        text = f"{where.text} AND {modified.expression} < ${number}::timestamptz"
        where = Sql(text, (*where.parameters, before))
    order = selection.order
    key = None if order is None else key_of(order.target, place.searched, place.resource)
    parameters = list(where.parameters)
    ways = _order_by(order, key, place)
    beyond = _beyond(order, key, place, after, parameters)
    parameters += [offset, limit] if offset else [limit]
    end = f"${place.first + len(parameters) - 1}::bigint"
    if offset:
        # of the rows before the page, only columns of the order are read
        skipped = f"OFFSET ${place.first + len(parameters) - 2}::bigint LIMIT {end}"
        inner = f"{place.tenant} = $1 AND {where.text}{beyond} ORDER BY {ways} {skipped}"
        rows = f"{place.id} IN (SELECT {place.id} FROM {place.table} WHERE {inner}) ORDER BY {ways}"
    else:
        rows = f"{where.text}{beyond} ORDER BY {ways} LIMIT {end}"
    shown = "NULL" if key is None else f"{key.expression}::text"
    return PageSql(shown, rows, tuple(parameters), where, by_cursor=after is not None)


def _is_indexed(condition: Condition, searched: Columns) -> bool:
    match condition:
        case Test(operator=Operator.EQ):
            attribute, _, name = condition.target.name.rpartition(".")
            rows = searched.get(attribute)
            is_row = isinstance(rows, Rows) and name in rows.columns and rows.columns[name].indexed
            is_looked_up = isinstance(searched.get(condition.target.name), Lookup)
            return is_row or is_looked_up or _finds_rows(condition, searched)
        case Some():
            return _finds_elements(condition.condition, searched)
        case AllOf():
            # the other conditions are tested on each row found by the index: few only if its values are unique
            return any(_finds_one(one, searched) for one in condition.conditions)
        case AnyOf():  # PostgreSQL combines indexes of the table itself, no lookups in other tables
            return all(_finds_rows(one, searched) for one in condition.conditions)
        case _:
            return False


def _finds_elements(condition: Condition, searched: Columns) -> bool:
    """The same inside brackets, where a few further tests of the element are cheap (`type eq "work"`)."""
    parts = condition.conditions if isinstance(condition, AllOf) else (condition,)
    simple = len(parts) <= FEW_TESTS and all(isinstance(one, Test) for one in parts)
    return simple and any(_is_indexed(one, searched) for one in parts)


def _finds_one(condition: Condition, searched: Columns) -> bool:
    if isinstance(condition, AllOf):
        return _is_indexed(condition, searched)
    column = searched.get(condition.target.name) if isinstance(condition, Test) else None
    return isinstance(column, Column) and column.unique and _finds_rows(condition, searched)


def _finds_rows(condition: Condition, searched: Columns) -> bool:
    column = searched.get(condition.target.name) if isinstance(condition, Test) else None
    is_eq = isinstance(condition, Test) and condition.operator is Operator.EQ
    return is_eq and isinstance(column, Column) and column.indexed


def _order_by(order: Order | None, key: Key | None, place: Place) -> str:
    way = "DESC" if order is not None and order.descending else "ASC"
    return f"{place.id} {way}" if key is None else f"{key.expression} {way}, {place.id} {way}"


def _beyond(order: Order | None, key: Key | None, place: Place, after: Position | None, parameters: list[Any]) -> str:
    if after is None:
        return ""
    sign = "<" if order is not None and order.descending else ">"

    def add(value: Any, kind: str) -> str:
        parameters.append(value)
        return f"${place.first + len(parameters) - 1}::{kind}"

    if key is None:
        return f" AND {place.id} {sign} {add(after.id, 'uuid')}"
    if after.key is None:
        rest = f"{key.expression} IS NULL AND {place.id} {sign} {add(after.id, 'uuid')}"
        return f" AND ({rest})" if sign == ">" else f" AND ({rest} OR {key.expression} IS NOT NULL)"
    value = f"{add(after.key, 'text')}::{key.type}"
    rest = f"({key.expression}, {place.id}) {sign} ({value}, {add(after.id, 'uuid')})"
    # in ascending order, resources without a value are last
    return f" AND {rest}" if key.required or sign == "<" else f" AND ({rest} OR {key.expression} IS NULL)"
