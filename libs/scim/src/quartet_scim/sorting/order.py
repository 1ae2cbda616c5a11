"""Resolves sortBy to an attribute; refuses attributes that cannot be sorted by."""

from dataclasses import dataclass

from quartet_scim.attribute_names import Named, name_table
from quartet_scim.errors import invalid_value
from quartet_scim.filters.conditions import Target
from quartet_scim.filters.known_attributes import known_attributes
from quartet_scim.schema import ResourceType, Type

MAX_NAME = 128


@dataclass(frozen=True, slots=True)
class Order:
    """By the value at `target`; of a multi-valued attribute the primary one decides, or else the first.

    Resources without a value come last, and first if descending (RFC 7644 3.4.2.3). Resources that are equal stand in
    the order of their ids, so that the descending order is the ascending one backwards.
    """

    target: Target
    descending: bool = False


class Sorter:
    """Resolves sortBy for one resource type: made once, used for all queries."""

    def __init__(self, resource_type: ResourceType) -> None:
        self._names = name_table(resource_type)
        self._known = known_attributes(resource_type)

    def order(self, sort_by: str, *, descending: bool = False, unknown_is_absent: bool = False) -> Order | None:
        """The order of sortBy: a name in any case, dotted, with a URN, or without one if it is unambiguous.

        None for an attribute that the type does not have, if `unknown_is_absent`: no resource then has a value.
        Raises ScimError 400 invalidValue: for such an attribute otherwise, for a secret, for a complex attribute that
        has no `value`.
        """
        named = self._names.get(sort_by.lower()) if sort_by.isascii() else None
        if named is None and unknown_is_absent:
            return None
        if named is None:
            raise invalid_value(f"sortBy: there is no attribute {sort_by[:MAX_NAME]}.")
        return Order(self._target(named, sort_by), descending)

    def _target(self, named: Named, written: str) -> Target:
        if named.attribute is None:
            raise invalid_value(f"sortBy: {written[:MAX_NAME]} is a schema: name one of its attributes.")
        prefix = "" if named.urn is None else f"{named.urn}:"
        name = f"{prefix}{named.attribute.name}{'' if named.sub is None else f'.{named.sub.name}'}"
        if named.attribute.is_secret or (named.sub is not None and named.sub.is_secret):
            raise invalid_value(f"sortBy: {name} is sensitive and cannot be sorted by.")
        known = self._known[name.lower()]
        if known.target.type is not Type.COMPLEX:
            return known.target
        if known.value is None:
            raise invalid_value(f"sortBy: {name} is complex: name one of its sub-attributes.")
        return known.value
