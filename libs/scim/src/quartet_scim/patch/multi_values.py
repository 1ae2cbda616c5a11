"""Applies an operation to a multi-valued attribute: add (merges), replace, and remove by a list (RFC 7644 3.5.2)."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from quartet_scim.attribute_conversion import Identity
from quartet_scim.filters.evaluate import fold
from quartet_scim.patch.messages import Op
from quartet_scim.patch.patch_budget import PatchBudget
from quartet_scim.patch.single_values import given
from quartet_scim.patch.writable_attributes import WritableAttribute
from quartet_scim.value_conversion import WrongValueError


def written(writable: WritableAttribute, old: list[Any] | None, op: Op, value: Any) -> list[Any] | None:
    """All values after an add, which merges, or a replace; None for none."""
    if op is Op.ADD and not writable.subs and value is not None and not isinstance(value, list):
        value = [value]  # RFC 7644 3.5.2.1: a new value is added
    sent = None if value is None else writable.whole(value)
    if op is Op.REPLACE:
        return sent
    return united(writable, old or [], sent) if sent else old


def united(writable: WritableAttribute, old: Sequence[Any], sent: Sequence[Any]) -> list[Any]:
    """The old values merged with the sent ones, each once by `value` and `type` (RFC 7643 2.4).

    A value sent again is updated. A new primary value replaces the old one.
    """
    if not writable.subs:
        return _within(writable, list(dict.fromkeys([*old, *sent])))
    found, promoted = list(old), []
    places = _Places(writable.identity, found, sent)
    for item in sent:
        place = places.of(item)
        if place is None:
            place = len(found)
            found.append(item)
            places.add(place, item)
        elif not item.items() <= found[place].items():
            found[place] = {**found[place], **item}
        if item.get("primary") is True:
            promoted.append(place)
    return with_newest_primary(_within(writable, found), promoted)


def _within(writable: WritableAttribute, values: list[Any]) -> list[Any]:
    if len(values) > writable.limit:
        raise WrongValueError(f"must not have more than {writable.limit} values")
    return values


def without_those(writable: WritableAttribute, old: list[Any], value: Any, budget: PatchBudget) -> list[Any]:
    """The old values without the listed ones, as Entra ID lists members to remove; ignores missing ones.

    An object selects all values with its `value`, and its `type` if given; without `value`, those with all its
    sub-attributes.
    """
    value = listed_values(writable.name, value)
    doomed = [_description(writable, one, at) for at, one in enumerate(value if isinstance(value, list) else [value])]
    if not writable.subs:
        unwanted = set(doomed)
        return [item for item in old if item not in unwanted]
    known = {_folded_identity(writable, one) for one in doomed if "value" in one}
    partial = [one for one in doomed if one and "value" not in one]
    budget.spend(len(old) * len(partial))
    return [item for item in old if not (_is_known(writable, item, known) or _has_all_of_one(item, partial))]


def listed_values(name: str, value: Any) -> Any:
    """The values in a remove operation, also in the form `{"members": [...]}` of some clients.

    Raises WrongValueError for null: only a remove without a value removes all (RFC 7644 3.5.2.2).
    """
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        value = inner if key.lower() == name.lower() else value
    if value is None:
        raise WrongValueError("must not be null; leave the value out to remove all values")
    return value


def with_newest_primary(elements: list[Any], places: Iterable[int]) -> list[Any]:
    """The elements with at most one primary: the last written one (RFC 7644 3.5.2)."""
    newest = {place for place in places if _is_primary(elements[place])}
    if not newest:
        return elements
    return [
        {**element, "primary": False} if place not in newest and _is_primary(element) else element
        for place, element in enumerate(elements)
    ]


class _Places:
    """The indexes of values that may be equal to sent ones."""

    def __init__(self, identity: Identity, elements: Iterable[dict[str, Any]], sent: Iterable[dict[str, Any]]) -> None:
        self._identity = identity
        self._places: dict[Any, int] = {}
        wanted = {item.get("value") for item in sent}
        for place, element in enumerate(elements):
            if element.get("value") in wanted:
                self.add(place, element)

    def add(self, place: int, element: dict[str, Any]) -> None:
        self._places.setdefault(self._key(element), place)
        if "value" in element:
            self._places.setdefault(("of any type", element["value"]), place)

    def of(self, element: dict[str, Any]) -> int | None:
        place = self._places.get(self._key(element))
        if place is None and element.keys() == {"value"}:
            return self._places.get(("of any type", element["value"]))
        return place

    def _key(self, element: dict[str, Any]) -> Any:
        return self._identity(element) if "value" in element else orjson.dumps(element, option=orjson.OPT_SORT_KEYS)


def _folded_identity(writable: WritableAttribute, element: dict[str, Any]) -> tuple[Any, Any]:
    return _folded(writable, "value", element["value"]), _folded(writable, "type", element.get("type"))


def _is_known(writable: WritableAttribute, element: dict[str, Any], known: set[tuple[Any, Any]]) -> bool:
    if "value" not in element:
        return False
    value, kind = _folded_identity(writable, element)
    return (value, kind) in known or (value, None) in known


def _has_all_of_one(element: dict[str, Any], partial: list[dict[str, Any]]) -> bool:
    return any(one.items() <= element.items() for one in partial)


def _folded(writable: WritableAttribute, name: str, value: Any) -> Any:
    sub = writable.subs.get(name)
    exact = sub is None or sub.attribute.case_exact or not isinstance(value, str)
    return value if exact else fold(value)


def _description(writable: WritableAttribute, sent: Any, at: int) -> Any:
    try:
        if not writable.subs:
            return writable.element(sent)
        if isinstance(sent, str) and "value" in writable.subs:
            sent = {"value": sent}
        if not isinstance(sent, dict):
            raise WrongValueError("must be an object")
        return {sub.name: kept for sub, kept in given(writable, sent) if kept is not None}
    except WrongValueError as wrong:
        raise wrong.under(f"[{at}]") from None


def _is_primary(element: Any) -> bool:
    return isinstance(element, dict) and element.get("primary") is True
