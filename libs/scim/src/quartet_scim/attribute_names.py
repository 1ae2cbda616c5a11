"""Attribute names as clients send them: in any case, with or without URN, dotted; one table for each resource type."""

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


MAX_NAMES = 1_000
"""The maximum number of names in `attributes` or `excludedAttributes`."""
SEPARATORS = (":", ".")
"""Separators of URN and attribute: the colon of RFC 7644 3.10, and the dot that some clients send."""

PUBLISHED = "urn:ietf:"
"""The prefix of schemas of the IETF, which tenants cannot register."""


@dataclass(frozen=True, slots=True)
class Named:
    """The attribute of a name.

    urn: the extension, None for the core. attribute: None for the whole extension, or the whole resource.
    sub: the sub-attribute, if the name has a dot.
    """

    urn: str | None
    attribute: Attribute | None = None
    sub: Attribute | None = None


def core_attributes(resource_type: ResourceType) -> tuple[Attribute, ...]:
    """The top-level attributes of a resource, without extensions."""
    return (SCHEMAS, *common_attributes(), *resource_type.schema.attributes)


def name_table(resource_type: ResourceType) -> Mapping[str, Named]:
    """All names (RFC 7644 3.10) in lower case: `name.familyname`, `urn:...:user:manager.value`, and the bare URNs.

    Look up ASCII names only: the lower case of the Kelvin sign is a k. Attributes of extensions are found without their
    URN too, since Entra ID sends `manager`: first those of published extensions, then those of tenant schemas unless
    two of them have the same name.
    """
    core = core_attributes(resource_type)
    table = dict(_names("", None, core))
    table[resource_type.schema.id.lower()] = Named(None)
    for separator in SEPARATORS:
        table.update(_names(f"{resource_type.schema.id}{separator}", None, core))
    published = [one for one in resource_type.extensions if one.id.lower().startswith(PUBLISHED)]
    own = [one for one in resource_type.extensions if not one.id.lower().startswith(PUBLISHED)]
    taken = Counter(attribute.name.lower() for one in own for attribute in one.attributes)
    for extension in (*published, *own):
        table[extension.id.lower()] = Named(extension.id)
        for separator in SEPARATORS:
            table.update(_names(f"{extension.id}{separator}", extension.id, extension.attributes))
        others = taken if extension in own else Counter[str]()
        names = ((attribute, attribute.name.lower()) for attribute in extension.attributes)
        alone = [attribute for attribute, name in names if name not in table and others[name] <= 1]
        table.update(_names("", extension.id, alone))
    return table


def _names(prefix: str, urn: str | None, attributes: Iterable[Attribute]) -> Iterator[tuple[str, Named]]:
    for attribute in attributes:
        name = f"{prefix}{attribute.name}".lower()
        yield name, Named(urn, attribute)
        for sub in attribute.sub_attributes:
            yield f"{name}.{sub.name}".lower(), Named(urn, attribute, sub)
