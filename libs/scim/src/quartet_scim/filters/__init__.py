"""Filters (RFC 7644 3.4.2.2): text -> tree -> condition on known attributes -> SQL, or a result for one document."""

from quartet_scim.filters.conditions import Condition, mentions
from quartet_scim.filters.evaluate import fold, matches, old_key
from quartet_scim.filters.parser import MAX_CHARACTERS, parse, parse_path
from quartet_scim.filters.resolver import Resolver
from quartet_scim.filters.sql import Sql, to_sql
from quartet_scim.filters.sql_columns import Column, Columns, Kind, Lookup, Rows
from quartet_scim.filters.syntax import And, Compare, Filter, Not, Operator, Or, Path, Present, TargetPath, ValuePath

__all__ = [
    "MAX_CHARACTERS",
    "And",
    "Column",
    "Columns",
    "Compare",
    "Condition",
    "Filter",
    "Kind",
    "Lookup",
    "Not",
    "Operator",
    "Or",
    "Path",
    "Present",
    "Resolver",
    "Rows",
    "Sql",
    "TargetPath",
    "ValuePath",
    "fold",
    "matches",
    "mentions",
    "old_key",
    "parse",
    "parse_path",
    "to_sql",
]
