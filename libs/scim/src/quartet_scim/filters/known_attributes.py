"""The attributes of a resource type that a filter can name: by path in any case, with or without URN."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from quartet_scim.filters.conditions import Step, Target
from quartet_scim.schema import Attribute, Mutability, ResourceType, Type, common_attributes

_NAME = re.compile(r"\$?[A-Za-z][A-Za-z0-9$_-]*", re.ASCII)
_URN = re.compile(r"urn:[A-Za-z0-9._~%+/:-]+", re.ASCII | re.IGNORECASE)
_SCHEMAS = Attribute("schemas", Type.REFERENCE, multi_valued=True, required=True, case_exact=True)


@dataclass(frozen=True, slots=True)
class Known:
    """One attribute that a filter can name.

    value: what a comparison of a complex attribute means: its `value`, if it has one. inner: the attributes of one
    element, by name in lower case, where the attribute is multi-valued.
    """

    target: Target
    secret: bool = False
    value: Target | None = None
    inner: "Mapping[str, Known] | None" = None


def known_attributes(resource_type: ResourceType) -> dict[str, Known]:
    """Every attribute and sub-attribute by its path in lower case, without the core schema's URN.

    Raises ValueError for a schema with names that a filter cannot have.
    """
    found = dict(_named((), "", (_SCHEMAS, *common_attributes(), *resource_type.schema.attributes)))
    for extension in resource_type.extensions:
        if not _URN.fullmatch(extension.id):
            raise ValueError(f"{extension.id!r} is not a URN that a filter can name")
        steps = (Step(extension.id, listed=False),)
        found[extension.id.lower()] = Known(Target(extension.id, steps, Type.COMPLEX, case_exact=False, stored=True))
        found.update(_named(steps, f"{extension.id}:", extension.attributes))
    return found


def _named(steps: tuple[Step, ...], prefix: str, attributes: Iterable[Attribute]) -> Iterator[tuple[str, Known]]:
    for attribute in attributes:
        target = _target(attribute, steps, prefix + attribute.name, stored=True)
        subs = {sub.name.lower(): _sub(target, target.steps, sub) for sub in attribute.sub_attributes}
        value = subs["value"].target if "value" in subs else None
        yield target.name.lower(), Known(target, attribute.is_secret, value, _inner(target, attribute))
        for name, sub in subs.items():
            yield f"{target.name}.{name}".lower(), Known(sub.target, attribute.is_secret)


def _inner(target: Target, attribute: Attribute) -> dict[str, Known] | None:
    if not attribute.multi_valued:
        return None
    if attribute.type is Type.COMPLEX:
        return {sub.name.lower(): _sub(target, (), sub) for sub in attribute.sub_attributes}
    # a list of plain values has no sub-attributes; as in other servers, `value` is the element itself
    return {"value": Known(Target(f"{target.name}.value", (), target.type, target.case_exact, target.stored))}


def _sub(parent: Target, steps: tuple[Step, ...], sub: Attribute) -> Known:
    return Known(_target(sub, steps, f"{parent.name}.{sub.name}", stored=parent.stored))


def _target(attribute: Attribute, steps: tuple[Step, ...], name: str, *, stored: bool) -> Target:
    if not _NAME.fullmatch(attribute.name):
        raise ValueError(f"{attribute.name!r} is not an attribute's name (RFC 7643 2.1)")
    writable = attribute.mutability is not Mutability.READ_ONLY
    way = (*steps, Step(attribute.name, attribute.multi_valued))
    return Target(name, way, attribute.type, attribute.case_exact, stored and writable)
