"""Use cases of origins: allow and remove; each is one transaction with the new version of `tenant_origins`."""

from uuid import UUID

from quartet_common.auth.origin_store import TenantOrigins, keep, next_version
from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import NIL_ID, new_id
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_users.config import UsersConfig
from quartet_users.origins import origin_domain, origin_events
from quartet_users.origins import origin_store as store
from quartet_users.origins.origin_domain import MAX_ORIGINS, Origin

Container = AppContainer[UsersConfig]


async def add_origin(container: Container, caller: Caller, origin: str) -> Origin:
    """Allow a normalised origin. Raises what `require_new` raises."""
    async with unit_of_work(container, caller) as work:
        version = await next_version(work.connection, caller.tenant)
        known = await store.list_origins(work.connection, caller.tenant, NIL_ID, MAX_ORIGINS)
        origin_domain.require_new(origin, known)
        added = Origin(new_id(), origin, work.now(), caller.actor)
        await store.insert_origin(work.connection, caller.tenant, added)
        origins = await _keep(work, version)
        work.publish([origin_events.origin_added(added, version, origins)])
    return added


async def remove_origin(container: Container, caller: Caller, origin_id: UUID) -> None:
    """Remove an origin. Raises NotFoundError."""
    async with unit_of_work(container, caller) as work:
        version = await next_version(work.connection, caller.tenant)
        removed = await store.delete_origin(work.connection, caller.tenant, origin_id)
        if removed is None:
            raise NotFoundError
        origins = await _keep(work, version)
        work.publish([origin_events.origin_removed(removed, version, origins)])


async def _keep(work: UnitOfWork, version: int) -> list[str]:
    """Store the tenant's origins as they are now for the apis, and return them."""
    known = await store.list_origins(work.connection, work.tenant, NIL_ID, MAX_ORIGINS)
    origins = [one.origin for one in known]
    await keep(work.connection, [TenantOrigins(work.tenant, version, origins)])
    return origins
