"""Attribute conversion: compiles attributes into functions that convert sent values to the canonical form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quartet_scim.errors import ScimType
from quartet_scim.filters.evaluate import fold
from quartet_scim.schema import Attribute, Mutability, Type
from quartet_scim.value_conversion import SIMPLE, Convert, WrongValueError

Identity = Callable[[Mapping[str, Any]], tuple[Any, Any]]
"""The key of an element of a multi-valued attribute; elements with equal keys are the same value."""

MAX_VALUES = 1_000
MAX_MEMBERS = 100_000
MAX_KEYS = 1_000
"""The maximum number of attributes in a sent object, including unknown ones."""


def ignore(_value: Any) -> None:
    """Drops readOnly attributes, which clients may send but not write (RFC 7644 3.3, 3.5.1)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of an object: canonical name, conversion, and the scimType of the error if it is required."""

    name: str
    convert: Convert
    required: ScimType | None = None
    is_single: bool = False
    """Whether a list of one element is accepted as the value."""
    is_complex: bool = False

    def convert_sent(self, value: Any) -> Any:
        """`convert`; accepts a list of one element if `is_single`."""
        if self.is_single and type(value) is list:
            value = out_of_list(value, is_complex=self.is_complex)
        return self.convert(value)


class ObjectRules:
    """The attributes that an object may have, found by names in any case; drops all others."""

    __slots__ = ("_by_lower_case", "_by_name", "_required", "_separator")

    def __init__(self, fields: Sequence[Field], separator: str) -> None:
        self._by_name = {field.name: field for field in fields}
        self._by_lower_case = {field.name.lower(): field for field in fields}
        self._required = tuple((field.name, field.required) for field in fields if field.required is not None)
        self._separator = separator
        if len(self._by_lower_case) != len(fields):
            raise ValueError("two attributes have the same name")

    def convert(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object in canonical form, without null and unassigned values (RFC 7643 2.5)."""
        if len(value) > MAX_KEYS:
            raise WrongValueError(f"must not have more than {MAX_KEYS} attributes")
        found: dict[str, Any] = {}
        aliased: set[str] = set()
        for key, item in value.items():
            field = self._by_name.get(key) or self._by_other_case(key, value, aliased)
            if field is None or item is None:
                continue
            try:
                kept = field.convert(item) if type(item) is not list else field.convert_sent(item)
            except WrongValueError as wrong:
                raise wrong.under(self._separator + field.name) from None
            if kept is not None:
                found[field.name] = kept
        self._require_required(found)
        return found

    def convert_or_nothing(self, value: Any) -> dict[str, Any] | None:
        """The same for an object inside another one: None for an empty object, which is unassigned."""
        if not isinstance(value, dict):
            raise WrongValueError("must be an object")
        return self.convert(value) or None

    def _by_other_case(self, key: str, value: dict[str, Any], aliased: set[str]) -> Field | None:
        # only ASCII is folded: the lower case of the Kelvin sign is a k
        field = self._by_lower_case.get(key.lower()) if key.isascii() else None
        if field is None:
            return None
        if field.name in value or field.name in aliased:
            twice = WrongValueError("is given twice, in different case", "invalidSyntax")
            raise twice.under(self._separator + field.name)
        aliased.add(field.name)
        return field

    def _require_required(self, found: dict[str, Any]) -> None:
        for name, scim_type in self._required:
            value = found.get(name)
            if value is None or (isinstance(value, str) and not value.strip()):
                raise WrongValueError("is required", scim_type).under(self._separator + name)


def compiled(attribute: Attribute) -> Field:
    """The attribute as a field of its object. Raises ValueError for an unsupported attribute."""
    required: ScimType | None = "invalidValue" if attribute.required else None
    if attribute.mutability is Mutability.READ_ONLY:
        return Field(attribute.name, ignore)
    one = element_of(attribute)
    if not attribute.multi_valued:
        kept = _clearable(one) if _has_simple_value(attribute) else one
        return Field(attribute.name, kept, required, is_single=True, is_complex=bool(attribute.sub_attributes))
    limit = MAX_MEMBERS if attribute.name == "members" else MAX_VALUES
    identity = identity_of(attribute) if _has_simple_value(attribute) else None
    return Field(attribute.name, _list(one, limit, identity), required)


def element_of(attribute: Attribute) -> Convert:
    """The conversion of one value of the attribute, which may be multi-valued."""
    return _complex(attribute) if attribute.type is Type.COMPLEX else SIMPLE[attribute.type]


def identity_of(attribute: Attribute) -> Identity:
    """The identity by `value` and `type` of an element; types are compared without case unless caseExact."""
    type_is_exact = any(sub.name == "type" and sub.case_exact for sub in attribute.sub_attributes)

    def identity(element: Mapping[str, Any]) -> tuple[Any, Any]:
        kind = element.get("type")
        return element.get("value"), kind if type_is_exact or not isinstance(kind, str) else fold(kind)

    return identity


def _complex(attribute: Attribute) -> Convert:
    for sub in attribute.sub_attributes:
        if sub.type is Type.COMPLEX:
            raise ValueError(f"{attribute.name}.{sub.name}: a sub-attribute cannot be complex (RFC 7643 2.3.8)")
        if sub.is_secret:
            raise ValueError(f"{attribute.name}.{sub.name}: a secret must be an attribute of its own")
    convert = ObjectRules([compiled(sub) for sub in attribute.sub_attributes], separator=".").convert_or_nothing
    return _object_or_its_value(convert) if _has_simple_value(attribute) else convert


def _has_simple_value(attribute: Attribute) -> bool:
    return any(sub.name == "value" and not sub.multi_valued for sub in attribute.sub_attributes)


def _object_or_its_value(convert: Convert) -> Convert:
    # Entra ID sends a manager as a plain id, and some clients send roles as a list of plain strings
    def either(value: Any) -> Any:
        if value == "":
            raise WrongValueError("must not be empty")
        return convert({"value": value} if isinstance(value, str) else value)

    return either


def out_of_list(value: Any, *, is_complex: bool) -> Any:
    """The value of a single-valued attribute that was sent as a list of one element; other values unchanged."""
    # Entra ID sent single values as [{"value": ...}] before its flag aadOptscim062020, and some tenants still do.
    # Others send ["..."].
    if not isinstance(value, list) or len(value) != 1 or value[0] is None:
        return value
    return value[0].get("value", value) if isinstance(value[0], dict) and not is_complex else value[0]


def _clearable(one: Convert) -> Convert:
    """The conversion of a single-valued attribute with a `value`: an empty string, also as `value`, removes it."""

    def convert(value: Any) -> Any:
        return None if value == "" else unassigned_if_blank(one(value))

    return convert


def unassigned_if_blank(kept: dict[str, Any] | None) -> dict[str, Any] | None:
    """None for an object with an empty `value` and at most a `$ref`: some clients remove a manager so."""
    return None if kept is not None and kept.get("value") == "" and kept.keys() <= {"value", "$ref"} else kept


def _list(one: Convert, limit: int, identity: Identity | None) -> Convert:
    def convert(value: Any) -> list[Any] | None:
        # a single object is accepted as a list of one element: some clients omit the brackets
        items = [value] if isinstance(value, dict) else value
        if not isinstance(items, list):
            raise WrongValueError("must be a list")
        if len(items) > limit:
            raise WrongValueError(f"must not have more than {limit} values")
        found = _elements(one, items)
        if len(found) > 1:
            found = _merged(found, identity) if identity is not None else found
            _require_single_primary(found)
        return found or None

    return convert


def _elements(one: Convert, items: list[Any]) -> list[Any]:
    found = []
    for index, item in enumerate(items):
        try:
            if item is None:  # an error: without it, the attribute could become empty unintentionally
                raise WrongValueError("must not be null")
            kept = one(item)
        except WrongValueError as wrong:
            raise wrong.under(f"[{index}]") from None
        if kept is not None:
            found.append(kept)
    return found


def _merged(found: list[dict[str, Any]], identity: Identity) -> list[dict[str, Any]]:
    # RFC 7643 2.4: the same value and type should not be returned twice; the later element wins
    if len({item.get("value") for item in found}) == len(found):
        return found
    distinct: dict[Any, dict[str, Any]] = {}
    for place, item in enumerate(found):
        key = place if item.get("value") is None else identity(item)
        if key in distinct:
            distinct[key].update(item)
        else:
            distinct[key] = item
    return list(distinct.values())


def _require_single_primary(found: list[Any]) -> None:
    if sum(isinstance(item, dict) and item.get("primary") is True for item in found) > 1:
        raise WrongValueError("must not have more than one primary value")
