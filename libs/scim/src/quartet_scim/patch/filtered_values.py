"""Applies an operation to values selected by a filter: `emails[type eq "work"]`, `....value` (RFC 7644 3.5.2)."""

from collections.abc import Callable
from typing import Any

from quartet_scim.patch import multi_values, single_values
from quartet_scim.patch.messages import Op
from quartet_scim.patch.patch_budget import PatchBudget
from quartet_scim.patch.path_targets import Target
from quartet_scim.patch.value_filter import Selection
from quartet_scim.patch.writable_attributes import WritableAttribute
from quartet_scim.value_conversion import WrongValueError

LABELS = frozenset({"type", "primary", "display"})
"""Sub-attributes that only describe a value: an element with nothing else is removed."""

Change = Callable[[dict[str, Any]], dict[str, Any]]


def written(
    target: Target, writable: WritableAttribute, old: list[Any] | None, op: Op, value: Any, budget: PatchBudget
) -> list[Any] | None:
    """All values after an operation on those that the path selects. Raises WrongValueError noTarget for none.

    Not in the RFC: an add or replace without a selected value creates one with the equalities of the filter. Entra ID
    updates `emails[type eq "work"].value` also if there is none.
    """
    elements = old or []
    chosen = _chosen(target.selection, elements, budget)
    if op is Op.REMOVE or (op is Op.REPLACE and value is None):
        return _removed(target, elements, chosen)
    if value is None:
        return old
    if not chosen:
        return multi_values.united(writable, elements, [_made(target, writable, op, value)])
    return _changed(elements, chosen, lambda element: _written(target, writable, element, op, value))


def _chosen(selection: Selection | None, elements: list[Any], budget: PatchBudget) -> list[int]:
    if selection is None:  # a path like emails.value: all of them
        return list(range(len(elements)))
    budget.spend(len(elements) * selection.cost)
    return [place for place, element in enumerate(elements) if selection.chooses(element)]


def _removed(target: Target, elements: list[Any], chosen: list[int]) -> list[Any] | None:
    if not chosen and target.selection is not None:
        raise no_target()
    sub = target.sub
    gone = set(chosen)
    if sub is not None:
        elements = _changed(elements, chosen, lambda element: single_values.without(element, sub))
        gone = {place for place in chosen if elements[place].keys() <= LABELS}
    return [element for place, element in enumerate(elements) if place not in gone] or None


def _changed(elements: list[Any], chosen: list[int], change: Change) -> list[Any]:
    found = list(elements)
    for place in chosen:
        found[place] = change(found[place])
    return multi_values.with_newest_primary(found, chosen)


def _written(target: Target, writable: WritableAttribute, element: Any, op: Op, value: Any) -> Any:
    if not writable.subs:
        return writable.element(value)
    if target.sub is not None:
        return single_values.merged(writable, element, {target.sub.name: value}, op)
    sent = _object(writable, value)
    if op is Op.ADD:
        return single_values.merged(writable, element, sent, op)
    # RFC 7644 3.5.2.3: the element is replaced; the values in the filter stay, so that later paths find it
    described = {} if target.selection is None else target.selection.description() or {}
    new = {name: element[name] for name in described if name in element}
    new.update((sub.name, kept) for sub, kept in single_values.given(writable, sent) if kept is not None)
    single_values.require_same(writable, element, new)
    return new


def _made(target: Target, writable: WritableAttribute, op: Op, value: Any) -> Any:
    described = {} if target.selection is None else target.selection.description()
    if described is None or not writable.subs:
        raise no_target()
    sent = {target.sub.name: value} if target.sub is not None else _object(writable, value)
    made = writable.element(single_values.merged(writable, described, sent, op))
    if made is None or (target.selection is not None and not target.selection.chooses(made)):
        raise no_target()
    return made


def _object(writable: WritableAttribute, value: Any) -> dict[str, Any]:
    sent = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(sent, str) and "value" in writable.subs:
        return {"value": sent}
    if not isinstance(sent, dict):
        raise WrongValueError("must be an object")
    return sent


def no_target() -> WrongValueError:
    """The error if the filter of the path selects nothing (RFC 7644 3.12)."""
    return WrongValueError("has no value that matches the filter", "noTarget")
