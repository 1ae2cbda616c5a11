"""Use cases of legal holds: each opens its one transaction."""

from collections.abc import Sequence
from dataclasses import replace

from quartet_audit.config import AuditConfig
from quartet_audit.retention import legal_hold_store
from quartet_audit.retention.legal_hold_domain import LegalHold
from quartet_audit.retention.retention_events import hold_released, hold_set
from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import new_id
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work

Container = AppContainer[AuditConfig]


async def read_hold(container: Container, tenant: str) -> LegalHold:
    """The hold on the log of `tenant`. Raises NotFoundError (404) when there is none."""
    async with container.database.connection() as connection:
        found = await legal_hold_store.get_hold(connection, tenant)
    if found is None:
        raise NotFoundError("There is no legal hold on the log of this tenant.")
    return found


async def list_holds(container: Container) -> Sequence[LegalHold]:
    """The holds on the logs of all tenants, also of deleted ones."""
    async with container.database.connection() as connection:
        return await legal_hold_store.list_holds(connection)


async def set_hold(container: Container, caller: Caller, reason: str) -> LegalHold:
    """Set a hold on the log of the caller's tenant, in place of one that it has.

    Once it returns, no entry that is there is removed any more.
    """
    async with unit_of_work(container, caller) as work:
        hold = LegalHold(work.tenant, new_id(), reason, work.now(), caller.actor)
        await legal_hold_store.store_hold(work.connection, hold)
        work.publish([hold_set(hold)])
    return hold


async def release_hold(container: Container, caller: Caller, tenant: str) -> None:
    """Release the hold on the log of `tenant`: what it stopped goes on. Raises NotFoundError (404) when there is none.

    The event is in the log of `tenant`, and if the caller is of the platform, also in the platform's: the log of a
    deleted tenant gets no more entries.
    """
    async with unit_of_work(container, caller) as work:
        hold = await legal_hold_store.release_hold(work.connection, tenant)
        if hold is None:
            raise NotFoundError("There is no legal hold on the log of this tenant.")
        for log in dict.fromkeys((tenant, caller.tenant)):
            work.on_behalf_of(replace(caller, tenant=log)).publish([hold_released(hold)])
