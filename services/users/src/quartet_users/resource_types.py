"""The User resource type of a tenant, compiled from its schemas and kept."""

from quartet_scim.compiled import CompiledType
from quartet_scim.schema import user_resource_type


class UserTypes:
    """Gives each tenant its User type."""

    def __init__(self) -> None:
        self._common = CompiledType.of(user_resource_type())

    async def of(self, tenant: str) -> CompiledType:  # noqa: ARG002  # every tenant has the same type
        """The User type of `tenant`."""
        return self._common
