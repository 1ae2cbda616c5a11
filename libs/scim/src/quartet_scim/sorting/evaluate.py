"""The order of documents in Python: the reference for the SQL, and for merging lists of several types."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from quartet_scim.filters.conditions import Target
from quartet_scim.filters.evaluate import comparable, decimal
from quartet_scim.filters.timestamps import microseconds
from quartet_scim.schema import Type
from quartet_scim.sorting.order import Order

Rank: TypeAlias = tuple[bool, str, bool | int | Decimal | str, str]
"""Whether there is no value; the kind of the value, which may differ between resource types; the value; the id."""


def rank(order: Order | None, document: Mapping[str, Any]) -> Rank:
    """The rank of a resource in ascending order, by its id if `order` is None; descending order is the reverse. The
    resource must be in canonical form (`Normaliser`, with id and meta).
    """
    found = None if order is None else _value(order.target, document)
    if found is None:
        return True, "", "", document["id"]
    return False, type(found).__name__ if isinstance(found, bool | str) else "number", found, document["id"]


def _value(target: Target, document: Any) -> bool | int | Decimal | str | None:
    for step in target.steps:
        document = document.get(step.key) if isinstance(document, Mapping) else None
        if step.listed and isinstance(document, list):
            document = _leading(document)
    if target.type is Type.BOOLEAN:
        return document if isinstance(document, bool) else None
    if target.type in (Type.INTEGER, Type.DECIMAL):
        is_number = isinstance(document, int | float) and not isinstance(document, bool)
        return decimal(document) if is_number else None
    if not isinstance(document, str):
        return None
    if target.type is Type.DATE_TIME:
        return microseconds(document)
    return comparable(target, document)


def _leading(values: list[Any]) -> Any:
    primary = [one for one in values if isinstance(one, Mapping) and one.get("primary") is True]
    return next(iter(primary or values), None)
