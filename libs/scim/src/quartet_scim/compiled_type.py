"""A resource type with all objects compiled from its schemas: made once, used for all requests."""

from dataclasses import dataclass

from quartet_scim.filters import Resolver
from quartet_scim.normalise import Normaliser
from quartet_scim.patch import PatchEngine
from quartet_scim.projection import Projector
from quartet_scim.schema import ResourceType
from quartet_scim.sorting import Sorter


@dataclass(frozen=True, slots=True)
class CompiledType:
    """The compiled rules of one resource type: to normalise, patch, filter, sort and project resources."""

    resource_type: ResourceType
    normaliser: Normaliser
    engine: PatchEngine
    resolver: Resolver
    projector: Projector
    sorter: Sorter

    @classmethod
    def of(cls, resource_type: ResourceType) -> "CompiledType":
        """Compile the schemas of `resource_type`. Raises ValueError for an unsupported schema (see `Normaliser`)."""
        return cls(
            resource_type,
            Normaliser(resource_type),
            PatchEngine(resource_type),
            Resolver(resource_type),
            Projector(resource_type),
            Sorter(resource_type),
        )
