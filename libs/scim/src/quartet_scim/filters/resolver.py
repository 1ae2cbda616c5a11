"""Resolves the tree of a filter to a condition for one resource type; refuses filters that are invalid for it."""

from collections.abc import Mapping

from quartet_scim.errors import ScimError, invalid_filter
from quartet_scim.filters.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    HasValue,
    IsAssigned,
    Negated,
    Some,
    Target,
    Test,
)
from quartet_scim.filters.known_attributes import Known, known_attributes
from quartet_scim.filters.syntax import And, Compare, Filter, Not, Operator, Or, Path, Present, Value, ValuePath
from quartet_scim.filters.timestamps import microseconds, with_zone
from quartet_scim.schema import ResourceType, Type

_EQUALITY = frozenset({Operator.EQ, Operator.NE})
_PARTS = frozenset({Operator.CO, Operator.SW, Operator.EW})
_NUMBERS = frozenset({Type.INTEGER, Type.DECIMAL})


class Resolver:
    """Resolves filters for one resource type: made once, used for all filters, without state."""

    def __init__(self, resource_type: ResourceType) -> None:
        self._core = f"{resource_type.schema.id.lower()}:"
        self._known = known_attributes(resource_type)

    def resolve(self, tree: Filter, *, unknown_is_absent: bool = False) -> Condition:
        """The condition that the filter means for a resource of this type.

        unknown_is_absent: treat an attribute that the type does not have as one without a value, as queries over more
        than one type must (RFC 7644 3.4.2.1); otherwise it is an error, since `not (actve eq true)` would find all.
        Raises ScimError 400 invalidFilter: for a secret, for an operator or a value that does not fit the attribute.
        """
        return _Reader(self._known, self._core, lenient=unknown_is_absent).condition(tree)

    def resolve_inside(self, path: Path, tree: Filter) -> Condition:
        """The condition that a filter in brackets means for one element of the multi-valued attribute before them.

        For value paths of PATCH: `matches(condition, element)`. Raises ScimError 400 invalidFilter as `resolve` does,
        and where the attribute is not multi-valued.
        """
        reader = _Reader(self._known, self._core, lenient=False)
        found = reader.condition(ValuePath(path, tree))
        if not isinstance(found, Some):
            raise TypeError("a value path became something else")
        return found.condition


class _Reader:
    """Goes through one tree. known: by path in lower case. core: the URN, with its colon, that may be left out."""

    __slots__ = ("_core", "_known", "_lenient", "_outer")

    def __init__(self, known: Mapping[str, Known], core: str, *, lenient: bool, outer: str = "") -> None:
        self._known = known
        self._core = core
        self._lenient = lenient
        self._outer = outer

    def condition(self, tree: Filter) -> Condition:
        match tree:
            case Compare():
                return self._compared(tree)
            case And():
                return AllOf(tuple(map(self.condition, tree.terms)))
            case Or():
                return AnyOf(tuple(map(self.condition, tree.terms)))
            case Not():
                return Negated(self.condition(tree.term))
            case Present():
                known = self._find(tree.path)
                return Constant(holds=False) if known is None else HasValue(known.target)
            case ValuePath():
                return self._selected(tree)

    def _compared(self, tree: Compare) -> Condition:
        known = self._find(tree.path)
        if known is None:
            return Constant(holds=(tree.op is Operator.NE) is not (tree.value is None))
        target = known.target
        if tree.value is None:
            return _assigned(target, tree.op)
        if target.type is Type.COMPLEX:
            if known.value is None:
                raise invalid_filter(f"{target.name} is complex: compare one of its sub-attributes.")
            target = known.value
        _require_operator(target, tree.op)
        operand = _operand(target, tree.op, tree.value)
        if tree.op is Operator.NE:
            return Negated(Test(target, Operator.EQ, operand))
        return Test(target, tree.op, operand)

    def _selected(self, tree: ValuePath) -> Condition:
        known = self._find(tree.path)
        if known is None:
            return Constant(holds=False)
        if known.inner is None:
            raise invalid_filter(f"{known.target.name} has a single value and cannot be filtered with brackets.")
        inner = _Reader(known.inner, "", lenient=self._lenient, outer=known.target.name)
        return Some(known.target, inner.condition(tree.filter))

    def _find(self, path: Path) -> Known | None:
        known = self._named(str(path))
        if known is None and path.urn is not None and path.sub is not None:
            known = self._named(f"{path.urn}:{path.attribute}:{path.sub}")  # urn:...:User.manager, as some clients send
        if known is not None:
            if known.secret:
                raise invalid_filter(f"{known.target.name} is sensitive and cannot be used in a filter.")
            return known
        if self._lenient:
            return None
        raise self._unknown(str(path))

    def _named(self, path: str) -> Known | None:
        name = path.lower()
        return self._known.get(name[len(self._core) :] if self._core and name.startswith(self._core) else name)

    def _unknown(self, name: str) -> ScimError:
        shown = name if len(name) <= 128 else f"{name[:128]}..."
        if self._outer:
            return invalid_filter(f"{self._outer} has no sub-attribute {shown}.")
        ending = f":{name.lower()}"
        full = next((known.target.name for path, known in self._known.items() if path.endswith(ending)), None)
        hint = "" if full is None else f" Its full name is {full}."
        return invalid_filter(f"There is no attribute {shown}.{hint}")


def _assigned(target: Target, operator: Operator) -> Condition:
    # RFC 7643 2.5: null is the state of having no value
    if operator is Operator.EQ:
        return Negated(IsAssigned(target))
    if operator is Operator.NE:
        return IsAssigned(target)
    raise invalid_filter(f"{target.name}: null can be compared with eq and ne only.")


def _require_operator(target: Target, operator: Operator) -> None:
    # RFC 7644 3.4.2.2 has booleans and binary values refuse an order; parts of them, and of numbers, make no sense.
    if target.type in (Type.BOOLEAN, Type.BINARY):
        fits = operator in _EQUALITY
    else:
        fits = target.type not in _NUMBERS or operator not in _PARTS
    if not fits:
        raise invalid_filter(f"{target.name} is of type {target.type}, which cannot be compared with {operator}.")


def _operand(target: Target, operator: Operator, value: Value) -> str | int | float | bool:
    if target.type is Type.BOOLEAN:
        # Entra ID writes True and False as strings.
        named = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
        if isinstance(named, bool):
            return named
    elif target.type in _NUMBERS:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    elif isinstance(value, str):
        if target.type is not Type.DATE_TIME or operator in _PARTS:
            return value
        if microseconds(value) is None:
            raise invalid_filter(f"{target.name} is compared with a date and time such as 2026-01-31T09:30:00Z.")
        return with_zone(value)
    wanted = {Type.BOOLEAN: "true or false"}.get(target.type, "a number" if target.type in _NUMBERS else "a string")
    raise invalid_filter(f"{target.name} is compared with {wanted}.")
