"""Consuming: whatever breaks on the way, each event becomes one entry."""

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
from aio_pika import Message
from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import ChannelInvalidStateError
from aio_pika.message import IncomingMessage

from quartet_audit.checkpoints.grown_logs import GrownLogs
from quartet_audit.entries.entry_usecases import append_events, take_new
from quartet_common.core.clock import utc_now
from quartet_common.messaging import inbox
from quartet_common.messaging.envelope import Event, encode
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime.tenant_deletion import record_tombstone
from quartet_testing.conditions import eventually
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


async def test_a_dead_letter_that_is_put_back_becomes_an_entry(audit: "Audit", make_event: "MakeEvent") -> None:
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
        headers = audit.tokens.headers(tenant, MANAGE)
        path = "/audit/rabbitmq/dead-letters/redrive"
        answer = await audit.client.post(path, headers=headers, query_string={"id": str(event.id)})
        assert await answer.get_json() == {"redriven": 1}
        assert await recorded(audit, tenant, 1) == [str(event.id)]
        assert await dead_letter(audit, str(other.id))
        answer = await audit.client.post(path, headers=headers)
        assert (await answer.get_json())["redriven"] >= 1
        assert await recorded(audit, tenant, 2) == [str(event.id), str(other.id)]


async def test_putting_all_dead_letters_back_takes_each_once_though_some_die_again(audit: "Audit") -> None:
    name = new_tenant()
    async with audit.consuming():
        await audit.publish(b"{", message_id=name)
        await dead_letter(audit, name)
        status, before = await audit.ask_as_operator("/audit/rabbitmq/dead-letters")
        headers = audit.tokens.headers("default", MANAGE)
        answer = await audit.client.post("/audit/rabbitmq/dead-letters/redrive", headers=headers)
        assert status == 200
        assert (await answer.get_json())["redriven"] <= before["total"]
        assert await dead_letter(audit, name)


async def test_dead_letters_behind_the_many_of_another_tenant_are_found_and_put_back(
    audit: "Audit", make_event: "MakeEvent"
) -> None:
    other, tenant = new_tenant(), new_tenant()
    letters = [make_event(tenant=other) for _ in range(1200)] + [make_event(tenant=tenant) for _ in range(2)]
    headers, path = audit.tokens.headers(tenant, ["events:manage"]), "/audit/rabbitmq/dead-letters"
    mine = [str(event.id) for event in letters[-2:]]
    async with audit.service.container.broker.connection("test") as connection:
        channel = await connection.channel(publisher_confirms=False)
        dead = await channel.get_queue("quartet.audit.dead")
        await dead.purge()
        try:
            for event in letters:
                await channel.default_exchange.publish(Message(encode(event), message_id=str(event.id)), dead.name)
            await holds(dead, 1202)
            listed = await (await audit.client.get(path, headers=headers)).get_json()
            assert [letter["id"] for letter in listed["dead_letters"]] == mine
            await holds(dead, 1202)
            answer = await audit.client.post(f"{path}/redrive", headers=headers, query_string={"id": mine[1]})
            assert await answer.get_json() == {"redriven": 1}
            await holds(dead, 1201)
            answer = await audit.client.post(f"{path}/redrive", headers=headers)
            assert await answer.get_json() == {"redriven": 1}
            await holds(dead, 1200)
        finally:
            await dead.purge()


async def dead_letter(audit: "Audit", message_id: str) -> dict[str, Any]:
    """The dead letter of a message, once it is there."""

    async def probe() -> dict[str, Any]:
        headers = audit.tokens.headers("default", MANAGE)
        path = "/audit/rabbitmq/dead-letters"
        answer = await (await audit.client.get(path, headers=headers, query_string={"limit": "100"})).get_json()
        return next((dict(letter) for letter in answer["dead_letters"] if letter["id"] == message_id), {})

    return await eventually(probe, f"the dead letter {message_id}")


async def holds(queue: AbstractQueue, number: int) -> None:
    """Until so many messages wait in a queue: RabbitMQ takes a moment to put back what was looked at."""

    async def probe() -> bool:
        return (await queue.declare()).message_count == number

    await eventually(probe, f"{number} messages in {queue.name}")
