"""The names by which clients call attributes: of any case, with or without URN, dotted; one table per resource type."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from quartet_scim.schema import Attribute, ResourceType, Returned, Type, common_attributes

SCHEMAS = Attribute(
    "schemas",
    Type.REFERENCE,
    "The URNs of the schemas of this resource.",
    multi_valued=True,
    required=True,
    case_exact=True,
    returned=Returned.ALWAYS,
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a name stands for.

    urn: the extension, None for the core. attribute: None for the whole extension, or the whole resource.
    sub: the sub-attribute, if the name has a dot.
    """

    urn: str | None
    attribute: Attribute | None = None
    sub: Attribute | None = None


def core_attributes(resource_type: ResourceType) -> tuple[Attribute, ...]:
    """What stands at the top of a resource, extensions aside."""
    return (SCHEMAS, *common_attributes(), *resource_type.schema.attributes)


def name_table(resource_type: ResourceType) -> Mapping[str, Named]:
    """All names (RFC 7644 3.10) in lower case: `name.familyname`, `urn:...:user:manager.value`, and the bare URNs.

    Only ASCII has case here: the Kelvin sign in lower case would pass for a k, so look nothing else up.
    An extension's attribute may go without its URN where no other has its name: Entra ID sends a bare `manager`.
    """
    core = core_attributes(resource_type)
    table = dict(_names("", None, core))
    table[resource_type.schema.id.lower()] = Named(None)
    table.update(_names(f"{resource_type.schema.id}:", None, core))
    taken = Counter(attribute.name.lower() for one in resource_type.extensions for attribute in one.attributes)
    for extension in resource_type.extensions:
        table[extension.id.lower()] = Named(extension.id)
        table.update(_names(f"{extension.id}:", extension.id, extension.attributes))
        alone = [attribute for attribute in extension.attributes if taken[attribute.name.lower()] == 1]
        for text, named in _names("", extension.id, alone):
            table.setdefault(text, named)
    return table


def _names(prefix: str, urn: str | None, attributes: Iterable[Attribute]) -> Iterator[tuple[str, Named]]:
    for attribute in attributes:
        name = f"{prefix}{attribute.name}".lower()
        yield name, Named(urn, attribute)
        for sub in attribute.sub_attributes:
            yield f"{name}.{sub.name}".lower(), Named(urn, attribute, sub)
