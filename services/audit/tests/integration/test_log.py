"""The log: append only, gapless, in order, and each event in it once."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg
import pytest

from quartet_audit.entries.entry_usecases import record_events
from quartet_common.core.clock import utc_now
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

CHANGES = [
    "UPDATE entries SET actor = 'somebody else' WHERE tenant_id = $1",
    "DELETE FROM entries WHERE tenant_id = $1",
    "TRUNCATE entries",
    "UPDATE personal_parts SET changes = '{}' WHERE tenant_id = $1",
    "UPDATE personal_parts SET changes = NULL, changes_salt = NULL WHERE tenant_id = $1",
    "UPDATE personal_parts SET sequence = 7 WHERE tenant_id = $1",
    "DELETE FROM personal_parts WHERE tenant_id = $1",
    "TRUNCATE personal_parts",
    "UPDATE logs SET size = size - 1 WHERE tenant_id = $1",
    "DELETE FROM logs WHERE tenant_id = $1",
    "TRUNCATE logs",
]


@pytest.mark.parametrize("statement", CHANGES)
async def test_what_was_recorded_cannot_be_changed_by_mistake(
    audit: "Audit", make_event: "MakeEvent", statement: str
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant)])
    async with audit.owner.database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append only"):
            await connection.execute(statement, *([tenant] if "$1" in statement else []))
    assert len(await audit.ids(tenant)) == 1


async def test_an_event_that_the_inbox_has_forgotten_is_still_not_recorded_twice(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    old, new = make_event(tenant=tenant), make_event(tenant=tenant)
    await audit.record([old])
    await audit.record([old, new])
    await audit.record([old, new])
    assert await audit.ids(tenant) == [str(old.id), str(new.id)]


async def test_workers_that_race_for_the_same_tenants_neither_stop_each_other_nor_leave_gaps(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenants = [new_tenant() for _ in range(5)]
    both = [make_event(tenant=tenants[number % 5]) for number in range(50)]

    async def work(order: Sequence[str]) -> None:
        for number in range(10):
            mine = [make_event(tenant=tenant) for tenant in order]
            await audit.record([*mine, *both[5 * number : 5 * number + 5]])

    await asyncio.gather(*(work(order) for order in (tenants, tenants[::-1], tenants[2:] + tenants[:2])))
    for tenant in tenants:
        assert len(await audit.ids(tenant)) == 30 + 10


async def test_a_log_does_not_wait_for_another(audit: "Audit", make_event: "MakeEvent") -> None:
    busy, free = new_tenant(), new_tenant()
    await audit.record([make_event(tenant=busy), make_event(tenant=free)])
    async with audit.container.database.transaction() as connection:
        await record_events(connection, [make_event(tenant=busy)], utc_now())
        await asyncio.wait_for(audit.record([make_event(tenant=free)]), 3)
    assert len(await audit.ids(free)) == 2


@pytest.mark.parametrize(("before", "statements"), [(0, 4), (255, 7)], ids=["no full tile", "full tiles"])
async def test_a_batch_costs_a_few_statements_however_long_it_is(
    audit: "Audit", make_event: "MakeEvent", before: int, statements: int
) -> None:
    tenants = [new_tenant() for _ in range(3)]
    events = [make_event(tenant=tenants[number % 3]) for number in range(3 * before + 200)]
    await audit.record(events[: 3 * before])
    ran = []  # statements but COPY, of which there are three
    async with audit.container.database.transaction() as connection:
        with connection.query_logger(lambda record: ran.append(record.query)):
            await record_events(connection, events[3 * before :], utc_now())
    assert len(ran) == statements
    for tenant in tenants:
        assert await audit.ids(tenant) == [str(event.id) for event in events if event.tenantid == tenant]
