"""Tenant deletion: every service writes a tombstone and deletes the rows of the tenant.

    users.tenant.deleted.v1 -> record_tombstone: a tombstone, and a revocation of all tokens
    each second or two      -> Eraser: every table of the schema with a tenant_id, in batches, children before parents,
                               repeatedly until nothing is found and no token can be left

A consumer skips events of a tenant with a tombstone (`messaging.inbox`), and its dead letters are not stored. A later
pass finds the rows of writes that were running when the tombstone was written, so passes go on for the lifetime of
tokens, less and less often.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from quartet_common.auth import revocation_store
from quartet_common.auth.revocations import KEPT, revocation
from quartet_common.core.schedule import Schedule
from quartet_common.data.connections import Connection
from quartet_common.data.database import Database
from quartet_common.data.tenant_rows import erase_rows, tables
from quartet_common.messaging.envelope import Event
from quartet_common.runtime.container import AppContainer

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two runs."""
BATCH = 2000
"""Rows of one transaction, well below the statement timeout."""
LARGE_ROWS: Mapping[str, int] = {"data_job_chunks": 50}
"""Rows of one transaction in tables whose rows are large."""
FOR_GOOD = datetime(9999, 12, 31, tzinfo=UTC)
"""The time of the revocation of a deleted tenant: no later one can follow."""
STAYING = frozenset({"deleted_tenants", "revocations", "outbox"})
"""Tables that keep their rows: the tombstone, the revocations, and events that are still to be published, which
consumers skip.
"""

EraseBatch = Callable[[Connection, str, int], Awaitable[int]]
"""Deletes at most so many rows of a tenant and returns their number."""


class TenantFacts(msgspec.Struct, frozen=True, rename="camel"):
    """The data of the event."""

    id: str


@dataclass(frozen=True)
class Erasure:
    """The differences between services: tables that keep their rows, and tables with a deletion of their own."""

    staying: Collection[str] = frozenset()
    own: Mapping[str, EraseBatch] = field(default_factory=dict)
    batch: int = BATCH


async def handle_events(connection: Connection, events: Sequence[Event]) -> None:
    """Handle events of the type TENANT_DELETED."""
    for event in events:
        await record_tombstone(connection, msgspec.convert(event.data, TenantFacts).id)


async def record_tombstone(connection: Connection, tenant: str) -> None:
    """Write the tombstone of a tenant and revoke its tokens for good; idempotent."""
    await connection.execute(
        "INSERT INTO deleted_tenants (tenant_id, deleted_at, due_at) VALUES ($1, now(), now()) ON CONFLICT DO NOTHING",
        tenant,
    )
    await revocation_store.keep(connection, [revocation(tenant, "tenant", tenant, FOR_GOOD, endless=True)])


def erasing(container: AppContainer[Any], erasure: Erasure | None = None) -> Schedule:
    """The schedule by which a worker deletes the data of deleted tenants."""
    eraser = Eraser(lambda: container.database, container.clock, erasure or Erasure())
    return Schedule("tenants-erase", INTERVAL, eraser.run)


class Eraser:
    """Deletes the rows of deleted tenants in one service."""

    def __init__(self, database: Callable[[], Database], clock: Callable[[], datetime], erasure: Erasure) -> None:
        self._database = database
        self._clock = clock
        self._erasure = erasure

    async def run(self) -> None:
        """One pass over each tenant that is due; a later run continues an interrupted one.

        A tenant whose rows cannot be deleted stays due and does not block others. Raises UnavailableError without
        PostgreSQL.
        """
        async with self._database().connection() as connection:
            rows = await connection.fetch(
                "SELECT tenant_id FROM deleted_tenants WHERE due_at <= $1 ORDER BY due_at", self._clock()
            )
        passes = {row["tenant_id"]: await self._try_to_remove(row["tenant_id"]) for row in rows}
        for tenant, removed in passes.items():
            if removed is not None:
                await self._schedule_next_pass(tenant, removed)

    async def _try_to_remove(self, tenant: str) -> int | None:
        """As `_remove`, but log an error and return None: the next pass tries again."""
        try:
            return await self._remove(tenant)
        except Exception:
            logger.exception("rows of a deleted tenant could not be removed", extra={"deleted_tenant": tenant})
            return None

    async def _remove(self, tenant: str) -> int | None:
        """The number of deleted rows; None if another worker has locked the tenant."""
        async with self._database().connection() as connection:
            names = [name for name in await tables(connection) if name not in {*STAYING, *self._erasure.staying}]
        removed = 0
        for name in names:
            while (some := await self._batch(tenant, name)) is not None and some > 0:
                removed += some
            if some is None:
                return None
        return removed

    async def _batch(self, tenant: str, table: str) -> int | None:
        """The number of deleted rows; None if another worker has locked the tenant."""
        erase = self._erasure.own.get(table)
        async with self._database().transaction() as connection:
            if not await _lock(connection, tenant):
                return None
            if erase is not None:
                return await erase(connection, tenant, self._erasure.batch)
            limit = min(self._erasure.batch, LARGE_ROWS.get(table, self._erasure.batch))
            return await erase_rows(connection, table, tenant, limit)

    async def _schedule_next_pass(self, tenant: str, removed: int) -> None:
        now = self._clock()
        async with self._database().transaction() as connection:
            deleted_at = await _lock(connection, tenant)
            if deleted_at is None:
                return
            next_pass = _next_pass(deleted_at, now, has_removed=removed > 0)
            await connection.execute("UPDATE deleted_tenants SET due_at = $2 WHERE tenant_id = $1", tenant, next_pass)
        if removed:
            logger.info("rows of a deleted tenant were removed", extra={"deleted_tenant": tenant, "rows": removed})


def _next_pass(deleted_at: datetime, now: datetime, *, has_removed: bool) -> datetime | None:
    """The time of the next pass: now after one that removed something, else after as long again as since the deletion;
    None once all tokens have expired.
    """
    age = max(now - deleted_at, timedelta())
    if has_removed:
        return now
    return None if age > KEPT else now + max(age, timedelta(seconds=INTERVAL))


async def _lock(connection: Connection, tenant: str) -> datetime | None:
    """When the tenant was deleted, with its tombstone locked until the transaction ends; None if another worker has
    locked it.
    """
    found: datetime | None = await connection.fetchval(
        "SELECT deleted_at FROM deleted_tenants WHERE tenant_id = $1 FOR UPDATE SKIP LOCKED", tenant
    )
    return found
