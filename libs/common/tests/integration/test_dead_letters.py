"""Dead letters go from their queue into PostgreSQL: each once, whatever is in them, and none is lost on the way."""

import json
from typing import Any

import pytest
from aio_pika import DeliveryMode, Message

from quartet_common.core.errors import UnavailableError
from quartet_common.core.identifiers import NIL_ID
from quartet_common.messaging import dead_letter_store, dead_letters
from quartet_common.messaging.dead_letter_store import DeadLetter, Selection
from quartet_common.messaging.dead_letters import DeadLetters
from quartet_common.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER
from quartet_common.messaging.envelope import encode
from quartet_common.messaging.stats import QueueState, read_queues
from quartet_common.runtime.tenant_deletion import record_tombstone
from quartet_testing.conditions import eventually
from quartet_testing.messaging import (
    NAMES,
    Channel,
    Container,
    MakeEvent,
    messages_in,
    put_batch,
    store_dead_letters,
    taken_from,
)
from quartet_testing.services import new_tenant

FAILED = "ValueError: the handler cannot do that"


async def bury(channel: Channel, body: bytes, reason: str | None = FAILED, **properties: Any) -> None:
    """Put a message among the dead letters, as a worker leaves it."""
    headers: dict[str, Any] = {ATTEMPT_HEADER: 6, "traceparent": "the-trace"}
    message = Message(
        body,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers=headers if reason is None else {**headers, REASON_HEADER: reason},
        **properties,
    )
    await channel.default_exchange.publish(message, NAMES.dead)


async def stored(container: Container, tenant: str | None = None) -> list[DeadLetter]:
    """The dead letters that are stored."""
    async with container.database.connection() as connection:
        return await dead_letter_store.list_letters(connection, tenant, Selection(), NIL_ID, 1000)


async def test_a_dead_letter_is_stored_with_its_reason_and_everything_it_came_with(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    tenant = new_tenant()
    bad = event(tenant)
    await bury(channel, encode(bad), message_id=str(bad.id), type=bad.type, content_type="application/json")
    await store_dead_letters(container, "common", "nobody")
    [letter] = await stored(container, tenant)
    assert (letter.consumer, letter.message_id, letter.type) == ("common", str(bad.id), bad.type)
    assert (letter.tenant, letter.subject) == (tenant, bad.subject)
    assert (letter.reason, letter.failure, letter.attempts, letter.returns) == (FAILED, "ValueError", 6, 0)
    async with container.database.connection() as connection:
        found = await dead_letter_store.read_letter(connection, tenant, letter.id)
    assert found is not None
    assert (found[1].body, found[1].content_type) == (encode(bad), "application/json")
    assert json.loads(found[1].headers) == {"traceparent": "the-trace"}
    assert await messages_in(channel, NAMES.dead) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[" * 1000,
        b'{"tenantid":"a\\u0000b","subject":"\\u0000"}',
        b'{"tenantid":{},"type":7,"subject":["x"],"time":null}',
        b'{"tenantid":"%b"}' % (b"x" * 5000),
        b'{"subject":"%b"}' % (b"x" * 5000),
    ],
    ids=["empty", "not UTF-8", "cut", "NUL", "wrong types", "a long tenant", "a long subject"],
)
async def test_what_cannot_be_read_is_stored_too_and_belongs_to_no_tenant(
    container: Container, channel: Channel, body: bytes
) -> None:
    await bury(channel, body, "not a CloudEvents envelope: \0", message_id="\0", type="x" * 255)
    await bury(channel, b"another", None)
    await store_dead_letters(container, "common")
    first, second = await stored(container)
    assert (first.tenant, second.tenant) == ("", "")
    assert first.failure == "not a CloudEvents envelope"
    assert second.reason == "delivered too often without an acknowledgement"
    assert await messages_in(channel, NAMES.dead) == 0


async def test_a_worker_that_ends_between_commit_and_acknowledgement_stores_nothing_twice(
    container: Container, channel: Channel, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    bodies = [encode(event(tenant)) for _ in range(3)]
    for body in bodies:
        await bury(channel, body, message_id="the-id")
    store_all = dead_letters._store_all

    async def commits_and_ends(*arguments: Any) -> list[Any]:
        await store_all(*arguments)
        raise ConnectionError("the worker ended")

    monkeypatch.setattr(dead_letters, "_store_all", commits_and_ends)
    with pytest.raises(UnavailableError):
        await store_dead_letters(container, "common")
    monkeypatch.setattr(dead_letters, "_store_all", store_all)
    assert len(await stored(container, tenant)) == 3

    async def returned() -> bool:
        return await messages_in(channel, NAMES.dead) == 3

    await eventually(returned, "the messages to return to their queue")
    await store_dead_letters(container, "common")
    assert len(await stored(container, tenant)) == 3
    assert await messages_in(channel, NAMES.dead) == 0


async def test_of_a_batch_each_event_is_a_dead_letter_of_its_tenant_and_those_of_deleted_tenants_are_none(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    deleted, other = new_tenant(), new_tenant()
    async with container.database.transaction() as connection:
        await record_tombstone(connection, deleted)
    events = [event(tenant) for tenant in (deleted, other, deleted, other)]
    await put_batch(channel, [*map(encode, events), b"{}"], NAMES.dead)
    await store_dead_letters(container, "common")
    assert [(one.tenant, one.message_id) for one in await stored(container)] == [
        (other, str(events[1].id)),
        (other, str(events[3].id)),
        ("", None),
    ]
    assert await messages_in(channel, NAMES.dead) == 0


async def test_one_that_postgresql_refuses_stays_in_its_queue_and_holds_up_no_other(
    container: Container, channel: Channel, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = new_tenant()
    monkeypatch.setattr("quartet_common.messaging.dead_letters._text", lambda value: value)
    for message_id in ("a\0b", "good"):
        await bury(channel, encode(event(tenant)), message_id=message_id)
    await store_dead_letters(container, "common")
    assert [one.message_id for one in await stored(container, tenant)] == ["good"]
    assert (await taken_from(channel, NAMES.dead)).message_id == "a\0b"


async def test_the_depth_of_a_queue_of_dead_letters_counts_the_stored_ones_too(
    container: Container, channel: Channel, event: MakeEvent
) -> None:
    letters = DeadLetters(["common"])
    for _ in range(3):
        await bury(channel, encode(event(new_tenant())))
    async with container.broker.connection("test") as connection:
        await store_dead_letters(container, "common")
        await bury(channel, encode(event(new_tenant())))
        queues = await read_queues(connection, [NAMES.main, NAMES.dead])
    counted = await letters.count(container.database, queues)
    assert counted == {NAMES.main: queues[NAMES.main], NAMES.dead: QueueState(4, 0)}
    assert await letters.count(container.database, {}) == {NAMES.dead: QueueState(3, 0)}
