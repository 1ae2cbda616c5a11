"""Faults: servers that stop under the consumer and come back."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from quartet_audit.subscriptions import subscriptions
from quartet_cli.stack import Stack
from quartet_common.data.connections import Connection
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.subscriptions import Subscription
from quartet_testing.conditions import eventually
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

EVENTS = 1000


async def test_postgresql_that_stops_in_the_middle_of_a_batch_costs_and_doubles_nothing(
    audit: "Audit", servers: Stack, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    events = [make_event(tenant=tenant) for _ in range(EVENTS)]
    inside, gone = asyncio.Event(), asyncio.Event()
    [real, _] = subscriptions(audit.container)

    async def stopped_inside(connection: Connection, batch: Sequence[Event]) -> None:
        await real.handler(connection, batch)
        if not gone.is_set() and any(event.tenantid == tenant for event in batch):
            inside.set()  # everything is written, nothing is committed
            await gone.wait()

    async with audit.consuming([Subscription("#", stopped_inside)]):
        await audit.publish(*events)
        await asyncio.wait_for(inside.wait(), 20)
        await asyncio.to_thread(servers.stop, "postgres")
        gone.set()
        assert (await audit.ask(tenant))[0] == 503
        await asyncio.to_thread(servers.start, "postgres")
        assert await all_recorded(audit, tenant) == [str(event.id) for event in events]


@pytest.mark.slow
async def test_rabbitmq_that_stops_while_events_come_in_costs_and_doubles_nothing(
    audit: "Audit", servers: Stack, make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    events = [make_event(tenant=tenant) for _ in range(EVENTS)]
    async with audit.consuming():
        await audit.publish(*events)
        await asyncio.to_thread(servers.stop, "rabbitmq")
        status, problem = await audit.ask_as_operator("/audit/rabbitmq/queues")
        assert (status, problem["code"]) == (503, "rabbitmq_unavailable")
        assert (await audit.ask(tenant))[0] == 200
        await asyncio.to_thread(servers.start, "rabbitmq")
        late = make_event(tenant=tenant)
        await audit.publish(late)
        await eventually(lambda: has(audit, tenant, str(late.id)), "the event after the fault", 40)
        assert sorted(await all_recorded(audit, tenant)) == sorted(str(event.id) for event in [*events, late])


async def has(audit: "Audit", tenant: str, identifier: str) -> bool:
    return (await audit.ask(tenant, f"/audit/events/{identifier}"))[0] == 200


async def all_recorded(audit: "Audit", tenant: str) -> list[str]:
    """The ids of `tenant`'s entries once there are as many as events."""

    async def probe() -> list[str]:
        if (await audit.ask(tenant))[0] != 200:
            return []
        ids = await audit.ids(tenant)
        return ids if len(ids) >= EVENTS else []

    return await eventually(probe, f"{EVENTS} entries", 60)
