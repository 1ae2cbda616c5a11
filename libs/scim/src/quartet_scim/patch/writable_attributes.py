"""Writable attributes of a PATCH, compiled with the conversions of POST and PUT."""

from collections.abc import Mapping
from dataclasses import dataclass

from quartet_scim.attribute_conversion import MAX_MEMBERS, MAX_VALUES, Identity, compiled, element_of, identity_of
from quartet_scim.schema import Attribute, Mutability
from quartet_scim.value_conversion import Convert, WrongValueError


@dataclass(frozen=True, slots=True)
class WritableAttribute:
    """An attribute that an operation can write.

    whole: converts all of it. element: converts one value of a multi-valued attribute. subs: the sub-attributes by
    name in lower case; empty for what is not complex. limit: how many values it may have. identity: gives the `value`
    and `type` by which two complex values are the same.
    """

    attribute: Attribute
    whole: Convert
    element: Convert
    subs: Mapping[str, "WritableAttribute"]
    limit: int
    identity: Identity

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.attribute.name

    @property
    def read_only(self) -> bool:
        """Whether clients cannot write it."""
        return self.attribute.mutability is Mutability.READ_ONLY

    @property
    def immutable(self) -> bool:
        """Whether clients may write it only once."""
        return self.attribute.mutability is Mutability.IMMUTABLE

    @property
    def is_secret(self) -> bool:
        """Whether it is not stored with the other attributes."""
        return self.attribute.is_secret

    @property
    def many(self) -> bool:
        """Whether it is multi-valued."""
        return self.attribute.multi_valued

    def sub(self, name: str) -> "WritableAttribute | None":
        """The sub-attribute of that name, in any case."""
        return self.subs.get(name.lower()) if name.isascii() else None


def require_mutable(writable: WritableAttribute, old: object, new: object) -> None:
    """Refuse to change an immutable value (RFC 7643 7)."""
    if writable.immutable and old is not None and old != new:
        raise WrongValueError("is immutable", "mutability")


def require_optional(writable: WritableAttribute) -> None:
    """Refuse to remove a required value (RFC 7644 3.5.2.2)."""
    if writable.attribute.required:
        raise WrongValueError("is required and cannot be removed", "mutability")


def writable_of(attribute: Attribute, whole: Convert) -> WritableAttribute:
    """The attribute with the function that converts its whole value."""
    one = element_of(attribute) if attribute.multi_valued else whole
    subs = {sub.name.lower(): writable_of(sub, compiled(sub).convert_sent) for sub in attribute.sub_attributes}
    limit = MAX_MEMBERS if attribute.name == "members" else MAX_VALUES
    return WritableAttribute(attribute, whole, one, subs, limit, identity_of(attribute))
