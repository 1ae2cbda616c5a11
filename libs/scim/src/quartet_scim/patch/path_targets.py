"""Resolves the path of an operation: an attribute, selected values of it, and a sub-attribute (RFC 7644 3.5.2)."""

from dataclasses import dataclass

from quartet_scim.attribute_conversion import compiled
from quartet_scim.attribute_names import Named, core_attributes, name_table
from quartet_scim.filters import Path, parse_path
from quartet_scim.filters.resolver import Resolver
from quartet_scim.normalise import core_field
from quartet_scim.patch.value_filter import Selection
from quartet_scim.patch.writable_attributes import WritableAttribute, writable_of
from quartet_scim.schema import ResourceType
from quartet_scim.value_conversion import WrongValueError


@dataclass(frozen=True, slots=True)
class Target:
    """A resolved path: extension (None: core), attribute (None: all of it), selection of values, and sub-attribute."""

    urn: str | None
    writable: WritableAttribute | None = None
    selection: Selection | None = None
    sub: WritableAttribute | None = None

    @property
    def read_only(self) -> bool:
        """Whether clients cannot write it."""
        return (self.writable is not None and self.writable.read_only) or (self.sub is not None and self.sub.read_only)

    @property
    def name(self) -> str:
        """The attribute's name in errors."""
        name = self.urn or "" if self.writable is None else qualified(self.urn, self.writable.name)
        return name if self.sub is None else f"{name}.{self.sub.name}"


class Targets:
    """All targets of a resource type, by the names that clients use.

    core: the core schema's URN. extensions: the attributes of each extension by its URN. writables: all attributes by
    URN (None for the core schema) and canonical name.
    """

    def __init__(self, resource_type: ResourceType) -> None:
        self.core = resource_type.schema.id
        self.writables: dict[tuple[str | None, str], WritableAttribute] = {}
        self.extensions: dict[str, tuple[WritableAttribute, ...]] = {}
        for attribute in core_attributes(resource_type):
            self.writables[None, attribute.name] = writable_of(attribute, core_field(attribute).convert_sent)
        for extension in resource_type.extensions:
            writables = tuple(
                writable_of(attribute, compiled(attribute).convert_sent) for attribute in extension.attributes
            )
            self.extensions[extension.id] = writables
            self.writables.update({(extension.id, writable.name): writable for writable in writables})
        self._by_name = {text: self._target(named) for text, named in name_table(resource_type).items()}
        self._resolver = Resolver(resource_type)

    def find(self, path: str) -> Target | None:
        """The target of a path, None for an unknown attribute. ScimError or WrongValueError for a wrong filter."""
        if "[" in path:
            return self._value_path(path)
        return self._by_name.get(path.lower()) if path.isascii() else None

    def _target(self, named: Named) -> Target:
        if named.attribute is None:
            return Target(named.urn)
        writable = self.writables[named.urn, named.attribute.name]
        return Target(named.urn, writable, sub=None if named.sub is None else writable.sub(named.sub.name))

    def _value_path(self, path: str) -> Target | None:
        parsed = parse_path(path)
        whole = self.find(str(parsed.path))
        if whole is None or whole.writable is None or parsed.filter is None:
            return None
        writable = whole.writable
        if not writable.many:
            raise invalid_path("has a filter on an attribute with a single value")
        sub = None if parsed.sub is None else writable.sub(parsed.sub)
        if parsed.sub is not None and sub is None:
            raise invalid_path(f"names an unknown sub-attribute of {writable.name}")
        condition = self._resolver.resolve_inside(Path(writable.name, urn=whole.urn), parsed.filter)
        return Target(whole.urn, writable, Selection(condition), sub)


def qualified(urn: str | None, name: str) -> str:
    """The full name of an attribute, with the URN of an extension."""
    return name if urn is None else f"{urn}:{name}"


def invalid_path(problem: str) -> WrongValueError:
    """The error for a path that is invalid for all resources of the type."""
    return WrongValueError(problem, "invalidPath").under("path")
