"""Use cases of retention: the setting of a tenant, and the schedule that removes in batches what has expired.

worker, each hour, for each tenant with a setting and without a legal hold, in turn:
    transactions of up to 1,000 entries: what is pruned is noted -> entries, parts, and leaves of full tiles are removed
    when nothing is left: one event for all of them
"""

import logging
from typing import NamedTuple

from quartet_audit.config import AuditConfig
from quartet_audit.retention import legal_hold_store, retention_store
from quartet_audit.retention.retention_domain import PrunedLog, Retention
from quartet_audit.retention.retention_events import retention_applied, retention_changed
from quartet_common.core.caller import Caller
from quartet_common.core.schedule import Schedule
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work

logger = logging.getLogger(__name__)

INTERVAL = 3600.0
"""Seconds between two runs."""

Container = AppContainer[AuditConfig]


class RetentionState(NamedTuple):
    """The setting of a tenant, and what of its log has expired so far; None where there is none."""

    retention: Retention | None
    pruned: PrunedLog | None


async def read_retention(container: Container, tenant: str) -> RetentionState:
    """The retention of `tenant`."""
    async with container.database.snapshot() as connection:
        return await _state(connection, tenant)


async def set_retention(container: Container, caller: Caller, days: int | None) -> RetentionState:
    """Have the entries of the caller's tenant expire after `days`, or with None keep them for ever."""
    async with unit_of_work(container, caller) as work:
        await retention_store.lock_setting(work.connection, work.tenant)
        before = await retention_store.get_retention(work.connection, work.tenant)
        old = None if before is None else before.days
        if days != old:
            await _store(work, days)
            work.publish([retention_changed(old, days)])
        return await _state(work.connection, work.tenant)


async def _store(work: UnitOfWork, days: int | None) -> None:
    if days is None:
        await retention_store.delete_retention(work.connection, work.tenant)
    else:
        retention = Retention(days, work.now(), work.caller.actor)
        await retention_store.store_retention(work.connection, work.tenant, retention)


async def _state(connection: Connection, tenant: str) -> RetentionState:
    retention = await retention_store.get_retention(connection, tenant)
    return RetentionState(retention, await retention_store.read_pruned(connection, tenant))


def pruning_logs(container: Container) -> Schedule:
    """The schedule by which a worker removes what has expired."""

    async def run() -> None:
        await prune_all(container)

    return Schedule("logs-prune", INTERVAL, run)


async def prune_all(container: Container) -> None:
    """Remove what has expired of every tenant: a batch of each in turn, so that none waits for a large log.

    A failure is logged, stops no other log, and is tried again by the next run.
    """
    async with container.database.connection() as connection:
        left = await retention_store.read_tenants(connection)
    while left:
        left = [tenant for tenant in left if await _try_to_prune(container, tenant)]


async def _try_to_prune(container: Container, tenant: str) -> bool:
    """Remove one batch, or report all of them when there is nothing left; whether there may be more."""
    try:
        if await _prune_some(container, tenant):
            return True
        await _report(container, tenant)
    except Exception:
        logger.exception("a log could not be pruned", extra={"tenant": tenant})
    return False


async def _prune_some(container: Container, tenant: str) -> int:
    """Remove one batch; how many entries it had: 0 while a hold is set or another worker prunes the log."""
    async with container.database.transaction() as connection:
        if await legal_hold_store.get_hold_before_removal(connection, tenant) is not None:
            return 0
        retention = await retention_store.lock_retention(connection, tenant)
        if retention is None:
            return 0
        return await retention_store.prune(connection, tenant, container.clock())


async def _report(container: Container, tenant: str) -> None:
    """Publish one event for all that was removed, also by a run that was interrupted."""
    async with unit_of_work(container, Caller.service(tenant, container.config.client_id)) as work:
        run = await retention_store.note_reported(work.connection, tenant)
        if run is not None:
            work.publish([retention_applied(run.entries, run.before)])
