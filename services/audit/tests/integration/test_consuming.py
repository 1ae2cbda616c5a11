"""Consuming: whatever breaks on the way, each event becomes one entry."""

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from aio_pika.exceptions import ChannelInvalidStateError
from aio_pika.message import IncomingMessage

from quartet_audit.checkpoints.grown_logs import GrownLogs
from quartet_audit.entries.entry_usecases import append_events, take_new
from quartet_common.core.clock import utc_now
from quartet_common.messaging import inbox
from quartet_common.messaging.envelope import Event
from quartet_common.messaging.redrive import RedriveSender
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime.tenant_deletion import record_tombstone
from quartet_testing.conditions import eventually
from quartet_testing.messaging import store_dead_letters
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

MANAGE = ["events:manage", "platform:admin"]


async def recorded(audit: "Audit", tenant: str, count: int) -> list[str]:
    """The ids of `tenant` once there are `count` of them."""

    async def probe() -> list[str]:
        ids = await audit.ids(tenant)
        return ids if len(ids) >= count else []

    return await eventually(probe, f"{count} entries", timeout=40)


async def settled(audit: "Audit") -> None:
    """Until no message is on its way: none waits and none is unanswered."""

    async def probe() -> bool:
        headers = audit.tokens.headers("default", MANAGE)
        answer = await (await audit.client.get("/audit/rabbitmq/queues", headers=headers)).get_json()
        main = next(queue for queue in answer["queues"] if queue["name"] == "quartet.audit")
        return bool(main["messages"] == 0)

    await eventually(probe, "an empty queue")


async def test_an_event_that_is_sent_twice_becomes_one_entry(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    events = [make_event(tenant=tenant) for _ in range(300)]
    async with audit.consuming():
        await audit.publish(*events, *events)
        await recorded(audit, tenant, len(events))
    assert tenant in audit.container.shared(GrownLogs).recent(), "the signer looks at it"
    async with audit.consuming():
        await audit.publish(*events[:10])
        last = make_event(tenant=tenant)
        await audit.publish(last)
        ids = await recorded(audit, tenant, len(events) + 1)
    assert sorted(ids[:-1]) == sorted(str(event.id) for event in events)
    assert ids[-1] == str(last.id)
    async with audit.container.database.connection() as connection:
        assert not await connection.fetchval("SELECT count(*) FROM inbox WHERE tenant_id = $1", tenant)


async def test_events_are_new_once_and_never_of_a_deleted_tenant(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, deleted = new_tenant(), new_tenant()
    old, new, late = make_event(tenant=tenant), make_event(tenant=tenant), make_event(tenant=deleted)
    await audit.record([old])
    async with audit.container.database.transaction() as connection:
        await record_tombstone(connection, deleted)
        assert await take_new(connection, [new, late, old, new]) == [new]
        await append_events(connection, [new], utc_now())
        assert await take_new(connection, [new, late, old, new]) == []
    assert await audit.ids(tenant) == [str(old.id), str(new.id)]
    async with audit.container.database.connection() as connection:
        assert not await connection.fetchval("SELECT count(*) FROM logs WHERE tenant_id = $1", deleted)


async def test_events_of_one_publisher_are_recorded_in_the_order_sent(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    events = [make_event(tenant=tenant) for _ in range(500)]
    async with audit.consuming():
        await audit.publish(*events)
        ids = await recorded(audit, tenant, len(events))
    assert ids == [str(event.id) for event in events]


async def test_a_worker_that_dies_between_commit_and_ack_doubles_nothing(
    audit: "Audit", make_event: "MakeEvent", monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    events = [make_event(tenant=tenant) for _ in range(50)]
    ack = IncomingMessage.ack
    deaths: list[list[str]] = []

    async def dies(message: IncomingMessage, multiple: bool = False) -> None:
        if len(deaths) < 3:
            deaths.append(await audit.ids(tenant))
            raise ChannelInvalidStateError
        await ack(message, multiple)

    monkeypatch.setattr(IncomingMessage, "ack", dies)
    async with audit.consuming():
        await audit.publish(*events)
        await recorded(audit, tenant, len(events))
        await eventually(lambda: asyncio.sleep(0, len(deaths) == 3), "three deaths")
        last = make_event(tenant=tenant)
        await audit.publish(last)
        ids = await recorded(audit, tenant, len(events) + 1)
    assert deaths[0], "the first death came after a commit"
    assert len(ids) == len(events) + 1


async def test_two_workers_on_one_queue_record_each_event_once(audit: "Audit", make_event: "MakeEvent") -> None:
    tenants = [new_tenant() for _ in range(4)]
    events = [make_event(tenant=tenants[number % 4]) for number in range(800)]
    async with audit.consuming(), audit.consuming():
        await audit.publish(*events, *events[::-1])
        for tenant in tenants:
            await recorded(audit, tenant, 200)
        await settled(audit)
    for tenant in tenants:
        assert sorted(await audit.ids(tenant)) == sorted(str(e.id) for e in events if e.tenantid == tenant)


async def test_workers_that_get_the_same_events_at_once_wait_but_never_in_a_circle(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    async def take(events: Sequence[Event]) -> list[Event]:
        async with audit.container.database.transaction() as connection:
            return await inbox.add(connection, events)

    for _ in range(15):
        tenant = new_tenant()
        events = [make_event(tenant=tenant) for _ in range(300)]
        parts = [random.sample(events, 200) for _ in range(4)]
        taken = await asyncio.gather(*map(take, parts))
        each = [event.id for part in taken for event in part]
        assert len(each) == len(set(each)) == len({event.id for part in parts for event in part})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'{"id": "1"}',
        b"\xff\xfe",
        b'{"id":"019a0000-0000-7000-8000-000000000000","source":"/x","type":"t","subject":"a\xff/b"}',
        b'{"data":{"deep":' + b"[" * 100_000,
    ],
    ids=["cut", "nested", "wrong id", "not UTF-8", "not UTF-8 in a text", "too deep"],
)
async def test_a_malformed_message_is_dead_lettered_with_its_reason_and_the_rest_pass(
    audit: "Audit", make_event: "MakeEvent", body: bytes
) -> None:
    tenant = name = new_tenant()
    before, after = make_event(tenant=tenant), make_event(tenant=tenant)
    async with audit.consuming():
        await audit.publish(before, body, after, message_id=name)
        assert await recorded(audit, tenant, 2) == [str(before.id), str(after.id)]
        letter = await dead_letter(audit, name)
    assert letter["reason"].startswith("not a CloudEvents envelope: ")


async def test_an_event_of_an_unknown_cloudevents_version_is_dead_lettered(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    event = make_event(tenant=new_tenant(), specversion="2.0")
    async with audit.consuming():
        await audit.publish(event)
        letter = await dead_letter(audit, str(event.id))
    assert letter["reason"] == "CloudEvents version 2.0 is not supported"
    assert letter["tenant"] == event.tenantid


async def test_a_dead_letter_that_is_redriven_becomes_an_entry(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant = new_tenant()
    event, other = make_event(tenant=tenant), make_event(tenant=tenant)

    async def fails(*_: object) -> None:
        raise ValueError("the disk is on fire")

    async with audit.consuming([Subscription("#", fails)]):
        await audit.publish_failed(event, other)
        letter = await dead_letter(audit, str(event.id))
        await dead_letter(audit, str(other.id))
    assert letter["reason"] == "ValueError: the disk is on fire"
    assert letter["type"] == event.type
    async with audit.consuming():
        await redriven(audit, tenant, {"ids": [letter["id"]], "expected": 1})
        assert await recorded(audit, tenant, 1) == [str(event.id)]
        assert (await dead_letter(audit, str(other.id)))["redrive"] is None
        await redriven(audit, tenant, {"filter": {"failure": "ValueError", "type": other.type}})
        assert await recorded(audit, tenant, 2) == [str(event.id), str(other.id)]


async def redriven(audit: "Audit", tenant: str, chosen: dict[str, Any]) -> None:
    """Redrive dead letters of a tenant, and wait until they are sent."""
    headers, container = audit.tokens.headers(tenant, ["events:manage"]), audit.service.container
    answer = await audit.client.post("/audit/rabbitmq/redrives", json=chosen, headers=headers)
    assert answer.status_code == 202, await answer.get_data()
    sender = RedriveSender("audit", container.broker, lambda: container.database, container.clock)

    async def is_finished() -> bool:
        await sender.run()
        found = await (await audit.client.get(answer.headers["Location"], headers=headers)).get_json()
        return bool(found["status"] == "finished" and found["sent"] == found["selected"])

    await eventually(is_finished, "the redrive to send everything")


async def dead_letter(audit: "Audit", message_id: str) -> dict[str, Any]:
    """The dead letter of a message, once it is there."""

    async def probe() -> dict[str, Any]:
        await store_dead_letters(audit.service.container, "audit")
        headers = audit.tokens.headers("default", MANAGE)
        path, query = "/audit/rabbitmq/dead-letters", {"count": "1000"}
        answer = await (await audit.client.get(path, headers=headers, query_string=query)).get_json()
        return next((dict(one) for one in answer["dead_letters"] if one["message_id"] == message_id), {})

    return await eventually(probe, f"the dead letter {message_id}")
