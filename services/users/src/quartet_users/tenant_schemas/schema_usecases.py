"""Use cases of tenant schemas: one function per command; each opens the one transaction of its command."""

from collections.abc import Iterable, Mapping
from typing import Any

from quartet_common.core.caller import Caller
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work
from quartet_scim.compiled_type import CompiledType
from quartet_scim.discovery import attribute_documents
from quartet_scim.errors import ScimError, invalid_value, not_found
from quartet_scim.schema import Schema, user_resource_type
from quartet_users.config import UsersConfig
from quartet_users.tenant_schemas import schema_domain, schema_events, schema_store

Container = AppContainer[UsersConfig]


async def register_schema(container: Container, caller: Caller, schema: Schema) -> None:
    """Register an extension of User. Raises ScimError 400 for an unsupported schema, 409 if its URN is taken."""
    _require_compilable(schema)
    async with unit_of_work(container, caller) as work:
        version = await schema_store.lock_schemas(work.connection, caller.tenant)
        known = await schema_store.read_schemas(work.connection, caller.tenant)
        schema_domain.require_schema_capacity(schema, known)
        await schema_store.insert_schema(work.connection, caller.tenant, schema.id, _document(schema), work.now())
        work.publish([schema_events.schema_created(schema, version)])


async def delete_schema(container: Container, caller: Caller, urn: str) -> None:
    """Delete an extension. Raises ScimError 404, and 409 while a user has values of it."""
    async with unit_of_work(container, caller) as work:
        version = await schema_store.lock_schemas(work.connection, caller.tenant)
        schema = await schema_store.lock_schema(work.connection, caller.tenant, urn)
        if schema is None:
            raise not_found()
        if await schema_store.has_values(work.connection, caller.tenant, schema.id):
            raise ScimError(409, "Users have values of this schema. Remove the values first.")
        await schema_store.delete_schema(work.connection, caller.tenant, urn)
        work.publish([schema_events.schema_deleted(schema, version)])


async def require_schemas(connection: Connection, tenant: str, written: Iterable[Mapping[str, Any]]) -> None:
    """Lock the tenant's schemas of which `written` (attributes of users) have values until the transaction ends.

    Raises ScimError 409 if one was deleted: the compiled type of this process may be older. No statement if all values
    are of published schemas.
    """
    urns = own_urns(written)
    if urns and not await schema_store.lock_schemas_shared(connection, tenant, sorted(urns)):
        raise ScimError(409, "A schema used by the request was deleted at the same time. Try again.")


def own_urns(written: Iterable[Mapping[str, Any]]) -> set[str]:
    """The URNs of the tenant's own schemas of which `written` (attributes of users) have values."""
    return {urn for attributes in written for urn in attributes["schemas"]}.difference(schema_store.PUBLISHED)


def _require_compilable(schema: Schema) -> None:
    # in addition to the checks of `read_schema`: a schema that does not compile would break all requests of the tenant
    try:
        CompiledType.of(user_resource_type(schema))
    except ValueError as error:
        raise invalid_value(f"{error}.") from None


def _document(schema: Schema) -> dict[str, Any]:
    return {
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": attribute_documents(schema),
    }
